# Installs one version of one program for one user of Windows: no administrator, no prompt.
# For Windows PowerShell 5.1 and PowerShell 7. Options, environment and exit codes: -Help.
#
# PowerShell runs nothing of a text it cannot parse to the end, and the last byte closes the first
# brace: so a download that was cut short runs nothing.
if ($true) { & {
# The router replaces the next line; nothing in it comes from a request or the environment.
# @PRELUDE@

Set-StrictMode -Version 2
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue' # drawing it makes downloads many times slower in 5.1
$site = @{ Origin = $CaroOrigin; Code = 0; Begun = $null; Platform = '' }
$option = @{
  Version = ''; Channel = ''; Dir = ''
  DryRun = $false; Force = $false; Quiet = $false; Verbose = $false; NoModifyPath = $false; Uninstall = $false
}

function Get-HelpText {
  @"
Installs $CaroProduct $CaroVersion ($CaroChannel) for you, without administrator rights.

  irm $($site.Origin)/install.ps1 | iex
  & ([scriptblock]::Create((irm $($site.Origin)/install.ps1))) -Version $CaroStable
  & ([scriptblock]::Create((irm $($site.Origin)/install.ps1))) -Uninstall

Options, and the environment variables that do the same (an option wins):
  -Version V       install exactly V               CARO_VERSION=V
  -Channel C       newest of stable or beta        CARO_CHANNEL=C
  -Dir D           install into D                  CARO_INSTALL_DIR=D
  -DryRun          say what would happen, no more  CARO_DRY_RUN=1
  -Force           reinstall; replace other files  CARO_FORCE=1
  -NoModifyPath    leave the user's Path alone     CARO_NO_MODIFY_PATH=1
  -Uninstall       undo what the receipt lists     CARO_UNINSTALL=1
  -Quiet           print errors only               CARO_QUIET=1
  -Verbose         print every step                CARO_VERBOSE=1
  -Help            this text
Switches in the environment are 1, true, yes or 0, false, no. Besides: CARO_ORIGIN, where
other versions' scripts come from; DO_NOT_TRACK or CARO_NO_REPORT, which keep it from telling
$($site.Origin) how it went.

Exit codes: 0 done, 1 the server's own error, 2 usage, 3 platform, 4 network, 5 integrity,
6 permission or folder, 7 no such version, 8 the program does not run here.
At a prompt the code is left in `$LASTEXITCODE, because exit would close the window.
"@
}

function Write-Line($text) { [Console]::Error.WriteLine("${CaroProduct}: $text") }
function Write-Message($text) { if (-not $option.Quiet) { Write-Line $text } }
function Write-Step($text) { if ($option.Verbose) { Write-Message $text } }
function Write-Caution($text) { Write-Message "warning: $text" }

function Stop-Install($code, $cause, $next) {
  $problem = New-Object System.InvalidOperationException $cause
  $problem.Data['code'] = $code
  $problem.Data['next'] = $next
  throw $problem
}

function Stop-Usage($cause) { Stop-Install 2 $cause 'Run it with -Help to see the options.' }

function Test-SafeUrl($url) {
  # Plain http only where nobody can listen in between.
  $url -match '^https://[^@\s]+$' -or $url -match '^http://(localhost|127\.0\.0\.1|\[::1\])([:/][^@\s]*)?$'
}

function Get-EnvironmentOr($name, $default) {
  $value = [Environment]::GetEnvironmentVariable($name)
  if ([string]::IsNullOrEmpty($value)) { $default } else { $value }
}

function Read-Options($given) {
  $switches = @{
    DryRun = 'CARO_DRY_RUN'; Force = 'CARO_FORCE'; Quiet = 'CARO_QUIET'; Verbose = 'CARO_VERBOSE'
    NoModifyPath = 'CARO_NO_MODIFY_PATH'; Uninstall = 'CARO_UNINSTALL'
  }
  foreach ($name in @($switches.Keys)) {
    $value = Get-EnvironmentOr $switches[$name] '0'
    if ($value -match '^(1|true|yes)$') { $option[$name] = $true }
    elseif ($value -notmatch '^(0|false|no)$') { Stop-Usage "$($switches[$name])='$value': say 1 or 0" }
  }
  $option.Version = Get-EnvironmentOr 'CARO_VERSION' ''
  $option.Channel = Get-EnvironmentOr 'CARO_CHANNEL' ''
  $option.Dir = Get-EnvironmentOr 'CARO_INSTALL_DIR' (Get-EnvironmentOr 'CARO_DIR' '')
  $other = Get-EnvironmentOr 'CARO_ORIGIN' ''
  if ($other) {
    if (-not (Test-SafeUrl $other)) { Stop-Usage "CARO_ORIGIN='$other': only https (or http on this machine)" }
    $site.Origin = $other.TrimEnd('/')
  }

  $known = @('Version', 'Channel', 'Dir', 'Help') + @($switches.Keys)
  $chosen = @{}
  $words = New-Object System.Collections.Queue
  foreach ($word in $given) { if ($word) { $words.Enqueue([string]$word) } }
  while ($words.Count -gt 0) {
    $word = $words.Dequeue()
    # -Dir X, -Dir:X, -Dir=X and, as for the sh script, --dir X and --dry-run.
    if ($word -notmatch '^--?([A-Za-z][A-Za-z-]*)([:=](.*))?$') { Stop-Usage "unknown option '$word'" }
    $name = $Matches[1].Replace('-', '')
    $value = ''
    if ($Matches.ContainsKey(3)) { $value = $Matches[3] }
    $name = @($known | Where-Object { $_ -eq $name })
    if ($name.Count -eq 0) { Stop-Usage "unknown option '$word'" }
    $name = $name[0]
    if ($name -eq 'Help') { return $true }
    if ($switches.ContainsKey($name)) {
      if ($value) { Stop-Usage "-$name takes no value" }
      $option[$name] = $true
      continue
    }
    if (-not $value -and $words.Count -gt 0 -and -not $words.Peek().StartsWith('-')) { $value = $words.Dequeue() }
    if (-not $value) { Stop-Usage "-$name needs a value" }
    $chosen[$name] = $value
  }
  # An option outranks both variables: -Channel beta means beta, whatever CARO_VERSION says.
  if ($chosen.ContainsKey('Version') -or $chosen.ContainsKey('Channel')) {
    $option.Version = ''
    $option.Channel = ''
  }
  foreach ($name in @($chosen.Keys)) { $option[$name] = $chosen[$name] }
  $option.Version = $option.Version -creplace '^v', ''
  if ($option.Version -and $option.Channel) { Stop-Usage 'give a version or a channel, not both' }
  if ($option.Version -and $option.Version -notmatch '^[0-9][0-9A-Za-z.+-]*$') {
    Stop-Usage "'$($option.Version)' is not a version such as $CaroStable"
  }
  if ($option.Channel -and $option.Channel -cnotmatch '^(stable|beta)$') {
    Stop-Usage "'$($option.Channel)' is not a channel: stable or beta"
  }
  return $false
}

# The status of a failed request, or 0 when there was no answer.
function Get-Status($record) {
  $failure = $record.Exception
  if ($failure.PSObject.Properties['Response'] -and $failure.Response) { [int]$failure.Response.StatusCode } else { 0 }
}

# Downloads to a file, or gives the text. Tries again what may pass: silence, 404 just after a
# release, 408, 429 and 5xx.
function Get-Url($url, $file, $retried) {
  for ($try = 1; ; $try++) {
    try {
      $request = @{ Uri = $url; UseBasicParsing = $true; TimeoutSec = 300 }
      if ($file) { Invoke-WebRequest @request -OutFile $file; return }
      $content = (Invoke-WebRequest @request).Content
      if ($content -is [byte[]]) { $content = [Text.Encoding]::UTF8.GetString($content) }
      return $content
    } catch {
      if (($_.Exception.HResult -band 0xFFFF) -in @(39, 112)) {
        Stop-Install 6 "could not write ${file}: $($_.Exception.Message)" 'The disk is full. Free some room, or choose another folder with -Dir.'
      }
      $status = Get-Status $_
      if ($try -ge 4 -or ($status -ge 400 -and $status -lt 500 -and $retried -notcontains $status)) { throw }
      Write-Message "no luck ($($_.Exception.Message)); trying again in $($try * $try) s"
      Start-Sleep -Seconds ($try * $try)
    }
  }
}

# Becomes the script of another version or channel, if this one is not what was asked for.
function Invoke-OtherScript {
  $wanted = $option.Version
  if (-not $wanted) { $wanted = $option.Channel }
  if (-not $wanted -or $wanted -eq $CaroVersion -or $wanted -eq $CaroChannel) { return $false }
  $url = "$($site.Origin)/$wanted/install.ps1"
  Write-Step "fetching $url"
  try {
    $text = Get-Url $url $null @(408, 429)
  } catch {
    if ((Get-Status $_) -notin @(400, 404, 410)) {
      Stop-Install 4 "could not fetch ${url}: $($_.Exception.Message)" 'Check the network and the proxy, then run this again.'
    }
    # The router's answer is a script that prints why; its text is the cause.
    if ("$($_.ErrorDetails)" -match "WriteLine\('(.*)'\)") { Write-Line $Matches[1].Replace("''", "'") }
    Stop-Install 7 "there is no $CaroProduct $wanted to install" "See $($site.Origin) for what there is, or leave the option out."
  }
  try { $block = [scriptblock]::Create($text) } catch { $block = $null }
  if (-not $block -or $text -notmatch "(?m)^\`$CaroVersion = '([^']+)'") {
    Stop-Install 4 "$url did not answer with the whole script" 'Run this again; a proxy or a login page may have answered.'
  }
  $got = $Matches[1]
  if ($option.Version -and $got -ne $wanted -and -not $got.StartsWith("$wanted.")) {
    Stop-Install 7 "asked for $wanted, was given $got" "See $($site.Origin) for what there is."
  }
  $rest = @()
  if ($option.Dir) { $rest += @('-Dir', $option.Dir) }
  foreach ($name in @('DryRun', 'Force', 'Quiet', 'Verbose', 'NoModifyPath')) {
    if ($option[$name]) { $rest += "-$name" }
  }
  # Without the variables that brought us here: the new script cannot send us on.
  $saved = @($env:CARO_VERSION, $env:CARO_CHANNEL)
  $env:CARO_VERSION = $null
  $env:CARO_CHANNEL = $null
  try { & $block @rest; $site.Code = $global:LASTEXITCODE } finally { $env:CARO_VERSION, $env:CARO_CHANNEL = $saved }
  return $true
}

function Get-Platform {
  if ([Environment]::OSVersion.Platform -ne 'Win32NT') {
    Stop-Install 3 'this script is for Windows' "Here: curl -fsS $($site.Origin) | sh"
  }
  $machine = Get-EnvironmentOr 'PROCESSOR_ARCHITEW6432' $env:PROCESSOR_ARCHITECTURE
  if ($machine -eq 'AMD64') { return 'windows-amd64' }
  if ($machine -eq 'ARM64') {
    if ($CaroAssets -match '(?m)^windows-arm64 ') { return 'windows-arm64' }
    if ([Environment]::OSVersion.Version.Build -ge 22000) {
      Write-Message 'there is no build for ARM; Windows 11 emulates the one for x64'
      return 'windows-amd64'
    }
  }
  Stop-Install 3 "there is no build for Windows on $machine" "The builds are: $((Get-Assets | ForEach-Object { $_.Platform }) -join ' ')"
}

function Get-Assets {
  foreach ($line in ($CaroAssets -split "`n")) {
    $part = $line.Trim() -split ' '
    if ($part.Count -eq 4) { @{ Platform = $part[0]; Size = $part[1]; Sha256 = $part[2]; Url = $part[3] } }
  }
}

function Get-Digest($file) {
  if (Get-Command Get-FileHash -ErrorAction SilentlyContinue) {
    return (Get-FileHash -LiteralPath $file -Algorithm SHA256).Hash.ToLowerInvariant()
  }
  $stream = [IO.File]::OpenRead($file)
  try {
    $hash = [Security.Cryptography.SHA256]::Create().ComputeHash($stream)
    return ([BitConverter]::ToString($hash) -replace '-', '').ToLowerInvariant()
  } finally { $stream.Dispose() }
}

# What a program says about itself. One that hangs is ended after 30 s.
function Get-Answer($file) {
  $start = New-Object System.Diagnostics.ProcessStartInfo
  $start.FileName = $file
  $start.Arguments = '--version'
  $start.UseShellExecute = $false
  $start.CreateNoWindow = $true
  $start.RedirectStandardInput = $true
  $start.RedirectStandardOutput = $true
  $start.RedirectStandardError = $true
  try {
    $process = [System.Diagnostics.Process]::Start($start)
  } catch {
    return @{ Code = -1; Text = $_.Exception.Message }
  }
  $process.StandardInput.Close()
  $out = $process.StandardOutput.ReadToEndAsync()
  $errors = $process.StandardError.ReadToEndAsync()
  if (-not $process.WaitForExit(30000)) {
    $process.Kill()
    return @{ Code = -1; Text = 'no answer within 30 s' }
  }
  return @{ Code = $process.ExitCode; Text = ($out.Result + $errors.Result).Trim() }
}

function Test-Answer($answer, $version) {
  $version = if ($version) { [regex]::Escape($version) + '(\s|$)' } else { '[0-9]' }
  $answer.Text -cmatch "(?m)^$([regex]::Escape($CaroProduct)) $version"
}

# Makes a folder and gives those that were missing, outermost first.
function New-Folders($folder) {
  $missing = @()
  for ($up = $folder; $up -and -not (Test-Path -LiteralPath $up); $up = Split-Path -Parent $up) { $missing = @($up) + $missing }
  [void][IO.Directory]::CreateDirectory($folder)
  return $missing
}

function Remove-EmptyFolders($folders) {
  $folders = @($folders | Where-Object { $_ })
  [array]::Reverse($folders)
  foreach ($folder in $folders) {
    # Deletes only what is empty.
    try { [IO.Directory]::Delete($folder) } catch { Write-Step "kept $folder" }
  }
}

function Get-ReceiptPath { Join-Path (Join-Path $env:LOCALAPPDATA $CaroProduct) 'install-receipt.json' }

function Read-Receipt {
  $receipt = @{ binaries = @(); directories = @(); path = @() }
  $file = Get-ReceiptPath
  if (Test-Path -LiteralPath $file) {
    $stored = [IO.File]::ReadAllText($file) | ConvertFrom-Json
    foreach ($name in @($receipt.Keys)) {
      if ($stored.PSObject.Properties[$name]) { $receipt[$name] = @($stored.$name) }
    }
  }
  return $receipt
}

function Write-Receipt($receipt) {
  $file = Get-ReceiptPath
  try {
    $receipt.directories = @($receipt.directories) + @(New-Folders (Split-Path -Parent $file))
    foreach ($name in @('binaries', 'directories', 'path')) { $receipt[$name] = @($receipt[$name] | Where-Object { $_ } | Select-Object -Unique) }
    $receipt.version = $CaroVersion
    $receipt.channel = $CaroChannel
    [IO.File]::WriteAllText($file, (ConvertTo-Json $receipt -Depth 4))
  } catch {
    Write-Caution "could not write ${file}: $($_.Exception.Message); -Uninstall will not find this installation"
  }
}

# The user's Path as it is stored: expanding and writing it back would freeze every %NAME% in it.
function Edit-UserPath([scriptblock]$change) {
  $key = [Microsoft.Win32.Registry]::CurrentUser.CreateSubKey('Environment')
  try {
    $kind = [Microsoft.Win32.RegistryValueKind]::ExpandString
    if ($key.GetValueNames() -contains 'Path') { $kind = $key.GetValueKind('Path') }
    $old = [string]$key.GetValue('Path', '', [Microsoft.Win32.RegistryValueOptions]::DoNotExpandEnvironmentNames)
    $new = & $change $old
    if ($new -ceq $old) { return $false }
    if ($new) { $key.SetValue('Path', $new, $kind) } else { $key.DeleteValue('Path', $false) }
  } finally { $key.Dispose() }
  # Setting any variable through this call tells running programs that the environment has changed.
  [Environment]::SetEnvironmentVariable("${CaroProduct}_INSTALLER", '1', 'User')
  [Environment]::SetEnvironmentVariable("${CaroProduct}_INSTALLER", $null, 'User')
  return $true
}

function Test-OnPath($list, $folder) {
  foreach ($entry in ([string]$list -split ';')) {
    if ([Environment]::ExpandEnvironmentVariables($entry).TrimEnd('\') -eq $folder) { return $true }
  }
  return $false
}

function Set-UserPath($folder, $receipt) {
  if (Test-OnPath $env:Path $folder) { return }
  if ($option.NoModifyPath) {
    Write-Message "$folder is not on your Path; to use it now: `$env:Path = '$($folder.Replace("'", "''"));' + `$env:Path"
    return
  }
  if ($folder.Contains(';')) {
    Write-Caution "$folder has a semicolon, so it cannot be on the Path; call $CaroProduct by its full name"
    return
  }
  try {
    $edited = Edit-UserPath {
      param($old)
      if (Test-OnPath $old $folder) { $old } elseif ($old) { "$folder;$old" } else { $folder }
    }
    if ($edited) { $receipt.path = @($receipt.path) + $folder }
    $env:Path = "$folder;$env:Path"
    Write-Message 'it is on your Path, in this window and in new ones'
  } catch {
    Write-Caution "could not change your Path: $($_.Exception.Message); add $folder to it yourself"
  }
}

function Undo-Install {
  $file = Get-ReceiptPath
  if (-not (Test-Path -LiteralPath $file)) {
    Write-Message "nothing to uninstall: there is no receipt at $file"
    return
  }
  $receipt = Read-Receipt
  if ($option.DryRun) {
    foreach ($name in @('binaries', 'path', 'directories')) {
      foreach ($entry in $receipt[$name]) { Write-Line "would undo ${name}: $entry" }
    }
    return
  }
  foreach ($binary in $receipt.binaries) {
    if (-not (Test-Path -LiteralPath $binary)) { continue }
    try {
      Remove-Item -LiteralPath $binary -Force
    } catch {
      Stop-Install 6 "could not remove ${binary}: $($_.Exception.Message)" 'End the program if it is running, then run this again.'
    }
    Write-Message "removed $binary"
  }
  foreach ($folder in $receipt.path) {
    [void](Edit-UserPath {
      param($old)
      @($old -split ';' | Where-Object { $_ -ne $folder }) -join ';'
    })
  }
  Remove-Item -LiteralPath $file -Force
  Remove-EmptyFolders $receipt.directories
  Write-Message "$CaroProduct is uninstalled"
}

function Get-Target {
  $folder = $option.Dir
  if (-not $folder) {
    if (-not $env:LOCALAPPDATA) { Stop-Install 6 'LOCALAPPDATA is not set, so there is no folder to install into' 'Name one with -Dir.' }
    $folder = Join-Path $env:LOCALAPPDATA "Programs\$CaroProduct\bin"
  }
  # Relative to where PowerShell is, which the process need not be.
  $folder = $ExecutionContext.SessionState.Path.GetUnresolvedProviderPathFromPSPath($folder)
  if ($folder.Length -gt 3) { $folder = $folder.TrimEnd('\') }
  return @{ Folder = $folder; File = (Join-Path $folder "$CaroProduct.exe") }
}

# Whether there is anything to do, given what is at the target.
function Test-Needed($target, $receipt) {
  if (Test-Path -LiteralPath $target.File -PathType Container) {
    Stop-Install 6 "$($target.File) is a folder" 'Move it away, or choose another folder with -Dir.'
  }
  if (-not (Test-Path -LiteralPath $target.File)) { return $true }
  $answer = Get-Answer $target.File
  if (-not $option.Force -and (Test-Answer $answer $CaroVersion)) {
    Write-Message "$CaroProduct $CaroVersion is already installed in $($target.Folder); -Force installs it again"
    return $false
  }
  if ($receipt.binaries -notcontains $target.File) {
    if (Test-Answer $answer '') {
      Write-Message "replacing $($target.File), which this script did not install"
    } elseif (-not $option.Force) {
      Stop-Install 6 "$($target.File) exists and is not $CaroProduct" 'Move it away, choose another folder with -Dir, or replace it with -Force.'
    }
  }
  return $true
}

function Save-Asset($asset, $file) {
  $again = "Nothing was installed. A proxy or a login page may have answered instead; or run this again in a few minutes. From $($asset.Url)"
  Write-Step "downloading $($asset.Url)"
  if ($asset.Sha256 -eq '-') {
    # The router could not read its configuration and knows no digests.
    try { $sum = Get-Url "$($asset.Url).sha256" $null @(404, 408, 429) } catch { $sum = '' }
    if ($sum -notmatch '^([0-9A-Fa-f]{64})(\s|$)') { Stop-Install 5 "could not fetch the checksum $($asset.Url).sha256" $again }
    $asset.Sha256 = $Matches[1].ToLowerInvariant()
  }
  try {
    Get-Url $asset.Url $file @(404, 408, 429)
  } catch {
    if ($_.Exception.Data.Contains('code')) { throw }
    if ((Get-Status $_) -eq 404) {
      Stop-Install 4 "$($asset.Url) is not there" 'Just after a release the files can be minutes late. Run this again in five minutes.'
    }
    Stop-Install 4 "could not download $($asset.Url): $($_.Exception.Message)" 'Check the network and the proxy, then run this again.'
  }
  $size = (Get-Item -LiteralPath $file -Force).Length
  if ($asset.Size -ne '-' -and [long]$asset.Size -ne $size) { Stop-Install 5 "the download has $size bytes instead of $($asset.Size)" $again }
  $digest = Get-Digest $file
  if ($digest -ne $asset.Sha256) { Stop-Install 5 "the download has the SHA-256 $digest instead of $($asset.Sha256)" $again }
  Write-Step "size and SHA-256 are right: $digest"
}

# A running program cannot be overwritten or deleted, but it can be renamed.
function Move-IntoPlace($from, $target) {
  $old = "$target.old-$([guid]::NewGuid().ToString('N'))"
  $moved = $false
  try {
    if (Test-Path -LiteralPath $target) { [IO.File]::Move($target, $old); $moved = $true }
    [IO.File]::Move($from, $target)
  } catch {
    if ($moved -and -not (Test-Path -LiteralPath $target)) { [IO.File]::Move($old, $target) }
    Stop-Install 6 "cannot write ${target}: $($_.Exception.Message)" 'Choose a folder you can write to with -Dir.'
  }
  # What still runs is removed by the next installation.
  Get-ChildItem -LiteralPath (Split-Path -Parent $target) -Filter "$(Split-Path -Leaf $target).old-*" |
    Remove-Item -Force -ErrorAction SilentlyContinue
}

function Install-Build {
  $platform = Get-Platform
  if ($option.Uninstall) { Undo-Install; return }
  if (Invoke-OtherScript) { return }
  # From here on there is something to tell.
  $site.Platform = $platform
  if (-not $option.DryRun) { $site.Begun = [DateTime]::UtcNow }
  $asset = @(Get-Assets | Where-Object { $_.Platform -eq $platform })
  if ($asset.Count -eq 0) {
    Stop-Install 3 "$CaroProduct $CaroVersion has no build for $platform" "It has: $((Get-Assets | ForEach-Object { $_.Platform }) -join ' ')"
  }
  $asset = $asset[0]
  if (-not (Test-SafeUrl $asset.Url)) { Stop-Install 4 "refusing to download over plain http: $($asset.Url)" "Report this to $($site.Origin)." }
  $target = Get-Target
  Write-Step "platform $platform, version $CaroVersion ($CaroChannel, $CaroChoice), folder $($target.Folder)"
  if ($CaroChoice -eq 'rollout' -and $CaroChannel -eq 'beta') {
    Write-Message "$CaroProduct $CaroVersion is a beta, chosen for you by a gradual rollout"
    Write-Message "for the stable ${CaroStable}: irm $($site.Origin)/stable/install.ps1 | iex"
  } elseif ($CaroChoice -eq 'fallback') {
    Write-Message "the server cannot read its rollout just now, so this is the stable $CaroVersion"
  }
  if ($option.DryRun) {
    Write-Line "would install $CaroProduct $CaroVersion ($CaroChannel) for $platform"
    Write-Line "would download $($asset.Url) ($($asset.Size) bytes, SHA-256 $($asset.Sha256))"
    Write-Line "would write $($target.File)"
    if (-not $option.NoModifyPath -and -not (Test-OnPath $env:Path $target.Folder)) { Write-Line "would put $($target.Folder) on your Path" }
    Write-Line "would write $(Get-ReceiptPath)"
    Write-Line 'dry run: nothing was downloaded or changed'
    return
  }

  $receipt = Read-Receipt
  if (-not (Test-Needed $target $receipt)) { return }
  $made = @()
  $stage = Join-Path $target.Folder ".$CaroProduct-install.$([guid]::NewGuid().ToString('N'))"
  try {
    try {
      $made = @(New-Folders $target.Folder)
      [void][IO.Directory]::CreateDirectory($stage)
    } catch {
      Stop-Install 6 "cannot write in $($target.Folder): $($_.Exception.Message)" 'Choose a folder you can write to with -Dir.'
    }
    $file = Join-Path $stage "$CaroProduct.exe"
    Save-Asset $asset $file
    $answer = Get-Answer $file
    if ($answer.Code -ne 0 -or -not (Test-Answer $answer $CaroVersion)) {
      Stop-Install 8 "$CaroProduct $CaroVersion does not run here (status $($answer.Code)); it said: $($answer.Text)" "Nothing was changed. For the stable version: irm $($site.Origin)/stable/install.ps1 | iex"
    }
    Move-IntoPlace $file $target.File
    $receipt.directories = @($receipt.directories) + $made
    $made = @()
  } finally {
    if (Test-Path -LiteralPath $stage) { Remove-Item -LiteralPath $stage -Recurse -Force -ErrorAction SilentlyContinue }
    Remove-EmptyFolders $made
  }
  $receipt.binaries = @($receipt.binaries) + $target.File
  Write-Receipt $receipt
  Write-Message "installed $CaroProduct $CaroVersion in $($target.Folder)"
  Set-UserPath $target.Folder $receipt
  Write-Receipt $receipt
}

# Tells the router how it went, if the configuration asks for that: version, platform, exit code and duration, and an id
# made up for this run. Whatever comes of it is nobody's problem.
function Send-Report {
  if (-not $CaroReports -or -not $site.Begun) { return }
  foreach ($name in @('DO_NOT_TRACK', 'CARO_NO_REPORT')) {
    if ((Get-EnvironmentOr $name '0') -ne '0') { Write-Step 'not reporting how it went'; return }
  }
  try {
    $report = @{
      id = [guid]::NewGuid().ToString('N'); version = $CaroVersion; channel = $CaroChannel
      platform = $site.Platform; outcome = $site.Code
      duration_ms = [Math]::Max(0, [long]([DateTime]::UtcNow - $site.Begun).TotalMilliseconds)
    }
    $request = @{ Uri = "$($site.Origin)/report"; Method = 'Post'; ContentType = 'application/json'; TimeoutSec = 3 }
    [void](Invoke-WebRequest @request -UseBasicParsing -Body (ConvertTo-Json $report))
    Write-Step "reported to $($site.Origin) how it went"
  } catch {
    Write-Step "could not report to $($site.Origin) how it went"
  }
}

# Whether this process is a prompt with somebody at it, whose window an exit would close.
function Test-Prompt {
  $words = @([Environment]::GetCommandLineArgs() | Select-Object -Skip 1)
  if ($words -match '^[-/]noe') { return $true }
  -not ($words -match '^[-/](c|command|f|file|e|ec|enc|encodedcommand|noni|noninteractive)$')
}

try {
  # .NET Framework still offers older ones first; 3072 is TLS 1.2.
  [Net.ServicePointManager]::SecurityProtocol = [Net.ServicePointManager]::SecurityProtocol -bor 3072
  if (Read-Options $args) { Get-HelpText } else { Install-Build }
} catch {
  $problem = $_.Exception
  Write-Line "error: $($problem.Message)"
  if ($problem.Data.Contains('code')) {
    $site.Code = $problem.Data['code']
    if ($problem.Data['next']) { Write-Line $problem.Data['next'] }
  } else {
    $site.Code = 6
    Write-Line "at $($_.InvocationInfo.PositionMessage)"
  }
}
Send-Report
$global:LASTEXITCODE = $site.Code
if ($site.Code -ne 0 -and -not (Test-Prompt)) { exit $site.Code }
} @args }
