#!/bin/sh
# Installs one version of one program for one user: no sudo, no prompt, no package manager.
# Options, environment and exit codes: --help. For dash, busybox ash, bash 3.2, ksh93, mksh, zsh and
# yash, hence no local, no here-documents (they need a writable /tmp), and none of the names that zsh
# keeps for itself (path, status).
#
# Two groups in braces: definitions, then the call. A shell runs a group when it has all of it, so a
# download that was cut short runs nothing, not even the first half of a word.
{
caro_product='caro'
caro_origin='https://get.caro.sh'
caro_version=''
caro_channel='stable'
caro_choice='pinned'
caro_stable=''
caro_reports=''
caro_assets=''
# The router replaces the next line; nothing in it comes from a request or the environment.
# @PRELUDE@

nl='
'

help_text() {
  printf '%s\n' "Installs $caro_product $caro_version ($caro_channel) into your home folder.

  curl -fsS $origin | sh
  curl -fsS $origin | sh -s -- --version $caro_stable
  curl -fsS $origin | sh -s -- --dir /opt/tools --no-modify-path
  curl -fsS $origin | sh -s -- --uninstall

Options, and the environment variables that do the same (an option wins):
  --version V        install exactly V                 CARO_VERSION=V
  --channel C        newest of stable or beta          CARO_CHANNEL=C
  --dir D            install into D (~/.local/bin)     CARO_INSTALL_DIR=D
  --dry-run          say what would happen, no more    CARO_DRY_RUN=1
  --force            reinstall; replace a file that
                     is not $caro_product; try musl           CARO_FORCE=1
  --no-modify-path   leave shell start-up files alone  CARO_NO_MODIFY_PATH=1
  --uninstall        undo what the receipt lists       CARO_UNINSTALL=1
  --quiet            print errors only                 CARO_QUIET=1
  --verbose          print every step                  CARO_VERBOSE=1
  --help             this text
Switches in the environment are 1, true, yes or 0, false, no. Besides: CARO_ORIGIN, where
other versions' scripts come from; CARO_TIMEOUT, seconds a silent download may last (30);
DO_NOT_TRACK or CARO_NO_REPORT, which keep it from telling $origin how it went.

Exit codes: 0 done, 1 the server's own error, 2 usage, 3 platform, 4 network, 5 integrity,
6 permission or folder, 7 no such version, 8 the program does not run here."
}

# say: a message; step: only with --verbose; tell: also with --quiet; die CODE CAUSE NEXT-STEP.
tell() { printf '%s\n' "$bold$caro_product:$plain $1" >&2; }
say() { [ -n "$quiet" ] || tell "$1"; }
step() { [ -z "$verbose" ] || say "$1"; }
warn() { say "${red}warning:$plain $1"; }
die() {
  tell "${red}error:$plain $2"
  [ -z "${3-}" ] || tell "$3"
  [ -z "$begun" ] || leave "$1"
  exit "$1"
}
usage() { die 2 "$1" "The options are in: curl -fsS $origin | sh -s -- --help"; }

truth() { # NAME VALUE -> $yes
  case $2 in
    1 | [Tt][Rr][Uu][Ee] | [Yy][Ee][Ss]) yes=1 ;;
    '' | 0 | [Ff][Aa][Ll][Ss][Ee] | [Nn][Oo]) yes= ;;
    *) usage "$1='$2': say 1 or 0" ;;
  esac
}

read_environment() {
  truth CARO_QUIET "${CARO_QUIET-}" && quiet=$yes
  truth CARO_VERBOSE "${CARO_VERBOSE-}" && verbose=$yes
  truth CARO_DRY_RUN "${CARO_DRY_RUN-}" && dry_run=$yes
  truth CARO_FORCE "${CARO_FORCE-}" && force=$yes
  truth CARO_NO_MODIFY_PATH "${CARO_NO_MODIFY_PATH-}" && no_modify_path=$yes
  truth CARO_UNINSTALL "${CARO_UNINSTALL-}" && uninstall=$yes
  want_version=${CARO_VERSION-}
  want_channel=${CARO_CHANNEL-}
  dir=${CARO_INSTALL_DIR:-${CARO_DIR-}}
  timeout=${CARO_TIMEOUT:-30}
  case $timeout in *[!0-9]* | 0) usage "CARO_TIMEOUT='$timeout': say a number of seconds" ;; esac
  if [ -n "${CARO_ORIGIN-}" ]; then
    origin=${CARO_ORIGIN%/}
    safe_url "$origin" || usage "CARO_ORIGIN='$origin': only https (or http on this machine)"
  fi
}

read_options() {
  flag_version='' flag_channel=''
  while [ $# -gt 0 ]; do
    case $1 in
      --version=* | --channel=* | --dir=*) name=${1%%=*} value=${1#*=} ;;
      --version | --channel | --dir)
        name=$1 value=${2-}
        case $value in --*) value= ;; esac
        [ -z "$value" ] || shift
        ;;
      *) name=$1 value=- ;;
    esac
    shift
    [ -n "$value" ] || usage "$name needs a value"
    case $name in
      --version) flag_version=$value ;;
      --channel) flag_channel=$value ;;
      --dir) dir=$value ;;
      --dry-run) dry_run=1 ;;
      --force) force=1 ;;
      --quiet) quiet=1 ;;
      --verbose) verbose=1 ;;
      --no-modify-path) no_modify_path=1 ;;
      --uninstall) uninstall=1 ;;
      -h | --help)
        help_text
        exit 0
        ;;
      *) usage "unknown option '$name'" ;;
    esac
  done
  # A flag outranks both variables: --channel beta means beta, whatever CARO_VERSION says.
  if [ -n "$flag_version$flag_channel" ]; then
    want_version=$flag_version want_channel=$flag_channel
  fi
  [ -z "$want_version" ] || [ -z "$want_channel" ] || usage "give a version or a channel, not both"
  want_version=${want_version#v}
  case $want_version in
    '') ;;
    *[!0-9A-Za-z.+-]* | [!0-9]*) usage "'$want_version' is not a version such as $caro_stable" ;;
  esac
  case $want_channel in
    '' | stable | beta) ;;
    *) usage "'$want_channel' is not a channel: stable or beta" ;;
  esac
}

# Plain http only where nobody can listen in between.
safe_url() {
  case $1 in
    *@*) return 1 ;;
    https://?*) ;;
    http://localhost | http://localhost[:/]* | http://127.0.0.1 | http://127.0.0.1[:/]*) ;;
    'http://[::1]' | 'http://[::1]'[:/]*) ;;
    *) return 1 ;;
  esac
}

has() { command -v "$1" >/dev/null 2>&1; }

# Runs a command so that a signal is acted on at once, not when the command has ended.
await() {
  exec env LC_ALL=C "$@" </dev/null &
  child=$!
  wait "$child"
  awaited=$?
  child=
  return "$awaited"
}

choose_downloader() { # URL
  downloader=
  snap=
  if has curl; then
    case $(command -v curl) in */snap/*) snap=1 ;; *) downloader=curl ;; esac
  fi
  if [ -z "$downloader" ] && has wget; then
    case $(wget --version 2>&1) in
      *'GNU Wget'*) downloader=wget ;;
      # BusyBox's wget does not check certificates.
      *) case $1 in http:*) downloader=simple ;; *) downloader=unsafe ;; esac ;;
    esac
  fi
  # Snap's curl may write neither our files nor to a descriptor of them, only to a pipe.
  [ -z "$snap" ] || [ "$downloader" = wget ] || downloader=curl
  case $downloader in
    curl) [ -z "$snap" ] || step 'this curl is a snap: reading it through a pipe' ;;
    unsafe) die 4 'this wget cannot check certificates, and there is no curl' 'Install curl and run this again.' ;;
    '') die 4 'neither curl nor wget is here' 'Install curl and run this again.' ;;
  esac
}

# One request, to stdout. Further arguments go to curl.
request() { # URL [CURL-OPTION...]
  request_url=$1
  shift
  case $downloader in
    curl)
      case $request_url in
        https:*) set -- --proto '=https' --tlsv1.2 "$@" ;;
        *) set -- --proto '=http,https' "$@" ;;
      esac
      set -- curl -sSL --connect-timeout "$timeout" --speed-limit 1 --speed-time "$timeout" "$@"
      ;;
    wget)
      case ${1-} in -f) set -- -nv ;; *) set -- -q --content-on-error ;; esac
      case $request_url in https:*) set -- "$@" --secure-protocol=TLSv1_2 ;; esac
      set -- wget "$@" --tries=1 "--timeout=$timeout" -O -
      ;;
    *) set -- wget -q -O - ;;
  esac
  if [ -n "$snap" ]; then
    LC_ALL=C "$@" "$request_url" </dev/null | cat
  else
    await "$@" "$request_url"
  fi
}

# How long to wait before another try; nothing when there should be none.
pause_before() { # TRY
  [ "$1" -lt 4 ] || return 1
  say "no luck ($complaint); trying again in $(($1 * $1)) s"
  await sleep $(($1 * $1))
}

# Downloads URL into FILE, for which $stage must exist. On failure $complaint says why.
download() { # URL FILE SIZE
  choose_downloader "$1"
  try=0
  while :; do
    try=$((try + 1)) missing=
    : >"$stage/err"
    [ -z "$tty" ] || [ -n "$quiet" ] || progress "$2" "$3"
    request "$1" -f >"$2" 2>"$stage/err"
    result=$?
    complaint=$(cat "$stage/err")
    rm -f "$stage/err"
    [ -z "$tty" ] || [ -n "$quiet" ] || printf '\r\033[K' >&2
    # Behind a pipe the status is lost: an empty file is the failure.
    [ -z "$snap" ] || [ -s "$2" ] || result=22
    [ "$result" != 0 ] || return 0
    case $result:$complaint in
      23:* | 153:* | *'space left'* | *rite\ error* | *ile\ too\ large* | *annot\ write* | *hort\ write*)
        die 6 "could not write in $dir: ${complaint:-the write failed}" 'Is the disk full, or a quota reached? Free some room, or choose another folder with --dir.' ;;
    esac
    complaint=${complaint:-status $result}
    case $result:$complaint in
      *' 404'*) missing=1 ;;
      60:* | [123]:curl* | *' 40'[0-3]* | *' 410'* | *' 451'*) return 1 ;;
    esac
    pause_before "$try" || return 1
  done
}

# Prints the share of FILE that is there, each second until $stage/err is gone.
progress() { # FILE SIZE
  while sleep 1 && [ -e "$stage/err" ]; do
    have=$(($(wc -c <"$1")))
    if [ "$2" = - ]; then
      printf '\r%s' "$((have / 1000)) kB" >&2
    else
      printf '\r%s' "$((have * 100 / $2)) % of $(($2 / 1000)) kB" >&2
    fi
  done </dev/null &
}

# Becomes the script of another version or channel, if this one is not what was asked for.
hand_over() {
  if [ -n "$want_version" ]; then
    [ "$want_version" != "$caro_version" ] || return 0
    wanted=$want_version
  else
    [ -n "$want_channel" ] && [ "$want_channel" != "$caro_channel" ] || return 0
    wanted=$want_channel
  fi
  url=$origin/$wanted/install.sh
  step "fetching $url"
  choose_downloader "$url"
  try=0
  while :; do
    try=$((try + 1))
    # The error pages are scripts as well, hence no -f; the last line becomes the status.
    script=$(request "$url" -w '\n%{http_code}')
    result=$?
    code=
    if [ "$downloader" = curl ]; then
      code=${script##*"$nl"} script=${script%"$nl"*} script=${script%"$nl"}
    fi
    complaint="status ${code:-$result}"
    case $code:$script in
      5*) ;;
      *"$nl"'exit 1') # the router's answer: not there, or withdrawn; it prints which
        printf '%s' "$script" | sh >&2
        die 7 "there is no $caro_product $wanted to install" "See $origin for what there is, or leave the option out."
        ;;
      *"$nl"'{ main "$@"; }') [ "$result" != 0 ] || break ;;
      *) [ "$result" != 0 ] || complaint="$complaint, not the whole script" ;;
    esac
    pause_before "$try" || die 4 "could not fetch $url: $complaint" 'Check the network and the proxy (https_proxy), then run this again.'
  done
  got=${script##*"$nl"caro_version=\'}
  case ${got%%\'*} in
    "$wanted" | "$wanted".*) ;;
    *) [ -n "$want_channel" ] || die 7 "asked for $wanted, was given ${got%%\'*}" "See $origin for what there is." ;;
  esac
  # Without the option that brought us here: the new script cannot send us on.
  unset CARO_VERSION CARO_CHANNEL
  set --
  [ -z "$dir" ] || set -- "$@" --dir "$dir"
  [ -z "$dry_run" ] || set -- "$@" --dry-run
  [ -z "$force" ] || set -- "$@" --force
  [ -z "$quiet" ] || set -- "$@" --quiet
  [ -z "$verbose" ] || set -- "$@" --verbose
  [ -z "$no_modify_path" ] || set -- "$@" --no-modify-path
  exec sh -c "$script" sh "$@" </dev/null
}

find_platform() {
  machine=$(uname -m)
  system=$(uname -s)
  case $system in
    Linux)
      bits=$(getconf LONG_BIT 2>/dev/null) || bits=
      # Without getconf: the fifth byte of any program of this system is its ELF class.
      if [ -z "$bits" ]; then
        case $(od -An -tx1 -j4 -N1 /proc/self/exe 2>/dev/null) in *01*) bits=32 ;; esac
      fi
      case $machine in
        x86_64 | amd64) platform=linux-amd64 ;;
        aarch64 | arm64) platform=linux-arm64 ;;
        *) die 3 "there is no build for Linux on $machine" "The builds are: $(platforms)" ;;
      esac
      [ "$bits" != 32 ] || die 3 "this system has a 64-bit kernel ($machine) but 32-bit programs" 'A 64-bit program cannot run here; install a 64-bit system.'
      if is_musl; then
        [ -n "$force" ] || die 3 'this system uses musl (Alpine?), and the builds need glibc' 'Use an image with glibc, such as debian; with gcompat, --force tries anyway.'
      fi
      ;;
    Darwin)
      case $machine in
        arm64 | aarch64) platform=macos-silicon ;;
        *)
          platform=macos-intel
          # Rosetta says x86_64 on Apple silicon.
          case $(sysctl -n sysctl.proc_translated 2>/dev/null) in 1) platform=macos-silicon ;; esac
          ;;
      esac
      ;;
    MINGW* | MSYS* | CYGWIN* | Windows*)
      die 3 'on Windows the installer is a PowerShell script' "In PowerShell: irm $origin/install.ps1 | iex" ;;
    *) die 3 "there is no build for $system" "The builds are: $(platforms)" ;;
  esac
  rest=$caro_assets$nl
  while [ -n "$rest" ]; do
    asset=${rest%%"$nl"*} rest=${rest#*"$nl"}
    case $asset in
      "$platform "*)
        asset=${asset#* } size=${asset%% *}
        asset=${asset#* } sha256=${asset%% *} url=${asset#* }
        safe_url "$url" || die 4 "refusing to download over plain http: $url" "Report this to $origin."
        return 0
        ;;
    esac
  done
  die 3 "$caro_product $caro_version has no build for $platform" "It has: $(platforms)"
}

is_musl() {
  case $(ldd --version 2>&1) in *musl*) return 0 ;; *GLIBC* | *GNU* | *glibc*) return 1 ;; esac
  for loader in /lib64/ld-linux-*.so.* /lib/ld-linux-*.so.* /lib/*/ld-linux-*.so.*; do
    [ ! -e "$loader" ] || return 1
  done
  for loader in /lib/ld-musl-*.so.1; do
    [ ! -e "$loader" ] || return 0
  done
  return 1
}

platforms() {
  rest=$caro_assets$nl found=
  while [ -n "$rest" ]; do
    found="$found ${rest%% *}" rest=${rest#*"$nl"}
  done
  printf '%s' "${found# }"
}

find_folders() {
  case ${HOME-} in /*) home=${HOME%/} ;; *) home= ;; esac
  case ${XDG_CONFIG_HOME-} in /*) config=$XDG_CONFIG_HOME ;; *) config=${home:+$home/.config} ;; esac
  case ${XDG_STATE_HOME-} in /*) state=$XDG_STATE_HOME ;; *) state=${home:+$home/.local/state} ;; esac
  receipt=${state:+$state/$caro_product/install-receipt}
  [ -z "$uninstall" ] || return 0
  case $dir in
    '')
      [ -n "$home" ] || die 6 'HOME is not set to a folder of yours, so there is nowhere to install into' 'Name one: --dir /usr/local/bin'
      dir=$home/.local/bin
      ;;
    \~/*) dir=$home/${dir#*/} ;;
    /*) ;;
    *) dir=${PWD%/}/${dir#./} ;;
  esac
  case $dir in *"$nl"*) usage 'a line break in the folder name' ;; esac
  while :; do
    case $dir in ?*/) dir=${dir%/} ;; *) break ;; esac
  done
  target=${dir%/}/$caro_product
}

# Makes DIR. What it had to make joins $made, outermost first, for the receipt or the way back.
make_dirs() {
  new='' up=$1
  while [ -n "$up" ] && [ ! -e "$up" ] && [ ! -L "$up" ]; do
    new=$up$nl$new up=${up%/*}
  done
  made=$made$new
  complaint=$(mkdir -p "$1" 2>&1) && [ -d "$1" ]
}

# Removes the folders in LIST, innermost first, as far as they are empty.
remove_dirs() {
  rest=$1 back=
  while [ -n "$rest" ]; do
    back=${rest%%"$nl"*}$nl$back rest=${rest#*"$nl"}
  done
  while [ -n "$back" ]; do
    rmdir "${back%%"$nl"*}" 2>/dev/null || :
    back=${back#*"$nl"}
  done
}

clean_up() {
  [ -z "$child" ] || kill "$child" 2>/dev/null || :
  [ -z "$stage" ] || rm -rf "$stage"
  remove_dirs "$made"
}

# mksh would end with the status of the EXIT trap.
quit() { # CODE
  trap - EXIT
  clean_up
  exit "$1"
}

# The same where there is something to tell: after all else, and with signals off, so that nothing changes the status.
leave() { # CODE
  trap - EXIT
  clean_up
  trap '' HUP INT TERM
  report "$1"
  exit "$1"
}

# Tells the router how it went, if the configuration asks for that: version, platform, exit code and seconds, and a
# number made up for this run. Whatever comes of it is nobody's problem.
report() { # CODE
  [ -n "$caro_reports" ] || return 0
  for switch in "${DO_NOT_TRACK-}" "${CARO_NO_REPORT-}"; do
    case $switch in '' | 0) ;; *)
      step 'not reporting how it went'
      return 0 ;;
    esac
  done
  id=$(od -An -N16 -tx1 /dev/urandom 2>/dev/null | tr -d ' \n')
  [ ${#id} = 32 ] || { read -r id </proc/sys/kernel/random/uuid; } 2>/dev/null || return 0
  case $id in *[!0-9a-f-]*) return 0 ;; esac
  case $platform:$system$machine in
    :*[!0-9A-Za-z._-]*) where= ;;
    :*) where="\"os\":\"$system\",\"arch\":\"$machine\"," ;;
    *) where="\"platform\":\"$platform\"," ;;
  esac
  ended=$(date +%s 2>/dev/null)
  case $begun$ended in *[!0-9]*) took= ;; *) took=$((ended - begun)) ;; esac
  case $took in '' | -*) took= ;; *) took=",\"duration_ms\":$((took * 1000))" ;; esac
  body="{\"id\":\"$id\",\"version\":\"$caro_version\",\"channel\":\"$caro_channel\",$where\"outcome\":$1$took}"
  case $downloader in
    wget) set -- wget -q -O - --tries=1 --timeout=3 --header 'Content-Type: application/json' --post-data "$body" ;;
    simple) set -- wget -q -O - -T 3 --post-data "$body" ;;
    *)
      has curl || return 0
      set -- curl -fsS --connect-timeout 3 --max-time 3 -H 'Content-Type: application/json' -d "$body"
      ;;
  esac
  # Each of wget's own limits is for a part of it.
  case $1 in wget) ! timeout 5 true >/dev/null 2>&1 || set -- timeout 3 "$@" ;; esac
  if LC_ALL=C "$@" "$origin/report" </dev/null >/dev/null 2>&1; then
    step "reported to $origin how it went"
  else
    step "could not report to $origin how it went"
  fi
}

digest() { # FILE -> $digest, the SHA-256 in hex
  for tool in 'sha256sum' 'shasum -a 256' 'openssl dgst -sha256' 'busybox sha256sum'; do
    has "${tool%% *}" || continue
    # Some print "HEX  -", openssl "NAME= HEX".
    digest=$(eval "$tool" <"$1" 2>/dev/null)
    digest=${digest#*= } digest=${digest%% *}
    case $digest in *[!0-9a-f]*) continue ;; esac
    [ ${#digest} != 64 ] || return 0
  done
  die 5 'there is no tool here to verify the download with' 'Install sha256sum, shasum or openssl and run this again.'
}

# What FILE says about itself -> $answer. A program that hangs is cut off where timeout exists.
ask() {
  if timeout 5 true >/dev/null 2>&1; then
    answer=$(timeout "$timeout" "$1" --version 2>&1 </dev/null)
  else
    answer=$("$1" --version 2>&1 </dev/null)
  fi
}

answers_as() { # VERSION, or nothing for any
  case $nl$answer$nl in
    *"$nl$caro_product ${1:-[0-9]}"[\ "$nl"]*) return 0 ;;
    *"$nl$caro_product "[0-9]*) [ -z "$1" ] ;;
    *) return 1 ;;
  esac
}

look_at_target() {
  [ ! -d "$target" ] || die 6 "$target is a folder" 'Move it away, or choose another folder with --dir.'
  [ -e "$target" ] || return 0
  ask "$target" || :
  if answers_as "$caro_version" && [ -z "$force" ]; then
    say "$caro_product $caro_version is already installed in $dir; --force installs it again"
    exit 0
  fi
  case $nl$entries in *"${nl}binary=$target$nl"*) return 0 ;; esac
  if answers_as ''; then
    say "replacing $target, which this script did not install"
  elif [ -z "$force" ]; then
    die 6 "$target exists and is not $caro_product" 'Move it away, choose another folder with --dir, or replace it with --force.'
  fi
}

fetch_and_verify() {
  step "downloading $url"
  if [ "$sha256" = - ]; then
    # The router could not read its configuration and knows no digests.
    download "$url.sha256" "$stage/sum" - || die 5 "could not fetch the checksum $url.sha256: $complaint" 'Nothing was installed. Run this again in a few minutes.'
    read -r sha256 rest <"$stage/sum" || :
    case $sha256 in *[!0-9a-f]*) sha256= ;; esac
    [ ${#sha256} = 64 ] || die 5 "$url.sha256 holds no checksum" 'Nothing was installed. Run this again in a few minutes.'
  fi
  download "$url" "$stage/$caro_product" "$size" || {
    [ -z "$missing" ] || die 4 "$url is not there" 'Just after a release the files can be minutes late. Run this again in five minutes.'
    die 4 "could not download $url: $complaint" 'Check the network and the proxy (https_proxy), then run this again.'
  }
  have=$(($(wc -c <"$stage/$caro_product")))
  again="Nothing was installed. A proxy or a login page may have answered instead; or run this again in a few minutes. From $url"
  [ "$size" = - ] || [ "$size" = "$have" ] || die 5 "the download has $have bytes instead of $size" "$again"
  digest "$stage/$caro_product"
  [ "$digest" = "$sha256" ] || die 5 "the download has the SHA-256 $digest instead of $sha256" "$again"
  step "size and SHA-256 are right: $sha256"
}

# The last test before the old program gives way.
try_it() {
  chmod 755 "$stage/$caro_product"
  ask "$stage/$caro_product"
  result=$?
  next="Nothing was changed. For the stable version: curl -fsS $origin/stable | sh"
  case $result:$answer in
    *GLIBC_*) cause="it needs a newer glibc than this system has" ;;
    0:*)
      answers_as "$caro_version" && return 0
      cause="it should be version $caro_version"
      ;;
    124:*) cause="no answer within $timeout s" ;;
    126:*)
      cause="it cannot be executed; is $dir mounted noexec?"
      next='Nothing was changed. Choose another folder with --dir.'
      ;;
    132:*) cause='this processor lacks an instruction it uses' ;;
    *) cause="it ended with status $result" ;;
  esac
  die 8 "$caro_product $caro_version does not run here: $cause${answer:+; it said: $answer}" "$next"
}

# The receipt: a line for each thing made, so that --uninstall can take back exactly that.
read_receipt() {
  entries=
  [ -n "$receipt" ] && [ -f "$receipt" ] || return 0
  while IFS= read -r entry; do
    case $entry in
      binary=*) [ ! -e "${entry#*=}" ] || entries=$entries$entry$nl ;;
      file=* | line=* | newline=* | rc=* | dir=*) entries=$entries$entry$nl ;;
    esac
  done <"$receipt"
}

keep() { # ENTRY
  case $nl$entries in
    *"$nl$1$nl"*) ;;
    *) entries=$entries$1$nl ;;
  esac
}

keep_made() {
  while [ -n "$made" ]; do
    keep "dir=${made%%"$nl"*}"
    made=${made#*"$nl"}
  done
}

write_receipt() {
  if [ -z "$receipt" ]; then
    warn 'HOME is not set, so there is no receipt and --uninstall will not find this'
  elif make_dirs "${receipt%/*}" && keep_made &&
    (printf '%s\n' "# What the installer of $caro_product made; --uninstall takes it back." \
      "version=$caro_version" "channel=$caro_channel" "${entries%"$nl"}" >"$receipt") 2>/dev/null; then
    step "receipt: $receipt"
  else
    remove_dirs "$made"
    made=
    warn "could not write $receipt; --uninstall will not find this installation"
  fi
}

swap() { # TEXT FROM TO -> $swapped
  rest=$1 swapped=
  while :; do
    case $rest in
      *"$2"*) swapped=$swapped${rest%%"$2"*}$3 rest=${rest#*"$2"} ;;
      *) break ;;
    esac
  done
  swapped=$swapped$rest
}

quote() { # TEXT -> $quoted, one word of a POSIX shell
  swap "$1" "'" "'\\''"
  quoted="'$swapped'"
}

quote_fish() {
  swap "$1" "\\" "\\\\"
  swap "$swapped" "'" "\\'"
  quoted="'$swapped'"
}

there() { [ -e "$1" ] || [ -L "$1" ]; }

# Start-up files: those there are, and the login shell's own. Never another shell's new one.
find_rc_files() {
  login=${SHELL:-sh} login=${login##*/} rcs='' fish=
  for rc in .bashrc .bash_profile .bash_login; do
    ! there "$home/$rc" || rcs=$rcs$home/$rc$nl
  done
  profile=
  case $login in
    zsh | fish) ;;
    bash) there "$home/.bash_profile" || there "$home/.bash_login" || profile=1 ;;
    *) profile=1 ;;
  esac
  [ -z "$profile" ] && ! there "$home/.profile" || rcs=$rcs$home/.profile$nl
  zsh=${ZDOTDIR:-$home}
  if [ "$login" = zsh ] || there "$zsh/.zshenv" || there "$zsh/.zshrc"; then
    rcs=$rcs$zsh/.zshenv$nl
  fi
  if [ "$login" = fish ] || [ -d "$config/fish" ]; then
    fish=$config/fish/conf.d/$caro_product.fish
  fi
}

# A whole file of ours; somebody else's is left alone.
own_file() { # FILE TEXT
  if there "$1" && [ "$(head -n 1 "$1" 2>/dev/null)" != "$mark" ]; then
    warn "$1 exists and is not of this installer"
    return 1
  fi
  if ! make_dirs "${1%/*}" || ! (printf '%s\n' "$mark" "$2" >"$1") 2>/dev/null; then
    remove_dirs "$made"
    made=
    warn "could not write $1"
    return 1
  fi
  keep_made
  keep "file=$1"
  step "wrote $1"
}

add_line() { # FILE LINE
  if [ -e "$1" ]; then
    ! LC_ALL=C grep -qxF -- "$2" "$1" 2>/dev/null || return 0
    kind=line start=
    # A last line without its newline must not swallow ours.
    if [ -s "$1" ] && [ "$(tail -c 1 "$1" 2>/dev/null | wc -l)" -eq 0 ]; then
      kind=newline start=$nl
    fi
  else
    kind=rc start=
  fi
  if (printf '%s%s\n' "$start" "$2" >>"$1") 2>/dev/null; then
    keep "$kind=$1: $2"
    say "added a line to $1"
  else
    warn "could not write $1; add this line yourself: $2"
  fi
}

set_path() {
  quote "$dir"
  by_hand="export PATH=$quoted:\$PATH"
  case ":${PATH-}:" in
    *":$dir:"*)
      found=$(command -v "$caro_product") || found=$target
      [ "$found" = "$target" ] || warn "$found comes first on your PATH and hides $target"
      return 0
      ;;
  esac
  if [ -n "$no_modify_path" ] || [ -z "$home" ] || [ -z "$config" ]; then
    say "$dir is not on your PATH; to use it now: $by_hand"
    return 0
  fi
  case $dir in
    *:*)
      warn "$dir has a colon, so it cannot be on the PATH; call $caro_product by its full name"
      return 0
      ;;
  esac
  find_rc_files
  mark="# Made by the installer of $caro_product."
  if [ -n "$rcs" ]; then
    own_file "$env_file" "case \":\${PATH}:\" in
  *:$quoted:*) ;;
  *) PATH=$quoted:\$PATH; export PATH ;;
esac" || {
      say "add this line to your shell's start-up file: $by_hand"
      return 0
    }
    quote "$env_file"
    source_line="[ ! -r $quoted ] || . $quoted"
    by_hand=". $quoted"
    while [ -n "$rcs" ]; do
      add_line "${rcs%%"$nl"*}" "$source_line"
      rcs=${rcs#*"$nl"}
    done
  fi
  if [ -n "$fish" ]; then
    quote_fish "$dir"
    own_file "$fish" "contains -- $quoted \$PATH; or set -gx PATH $quoted \$PATH" || :
    quote_fish "$fish"
    [ "$login" != fish ] || by_hand="source $quoted"
  fi
  say "new terminals will find it; in this one: $by_hand"
}

remove_line() { # KIND FILE LINE
  # In the C locale no byte makes grep take the file for a binary one.
  number=$(LC_ALL=C grep -nxF -- "$3" "$2" 2>/dev/null) || return 0
  number=${number%%:*}
  spare=$receipt.tmp
  # Not head: BSD's knows no zero.
  if LC_ALL=C sed "$number,\$d" "$2" >"$spare" && tail -n +$((number + 1)) "$2" >"$spare.2"; then
    if [ "$1" = newline ] && [ ! -s "$spare.2" ]; then
      # The newline before our line was ours too.
      head -c $(($(wc -c <"$spare") - 1)) "$spare" >"$spare.2" && : >"$spare"
    fi
    # Through the file, not over it: it may be a link into somebody's dotfiles.
    if (cat "$spare" "$spare.2" >"$2") 2>/dev/null; then
      [ "$1" != rc ] || [ -s "$2" ] || rm -f "$2"
      rm -f "$spare" "$spare.2"
      return 0
    fi
  fi
  rm -f "$spare" "$spare.2"
  warn "could not write $2; remove this line yourself: $3"
}

undo_all() {
  [ -n "$receipt" ] || die 6 'HOME is not set, so there is no receipt to go by' 'Set HOME, or delete the program yourself.'
  if [ ! -f "$receipt" ]; then
    say "nothing to uninstall: there is no receipt at $receipt"
    return 0
  fi
  read_receipt
  list=$entries dirs=
  while [ -n "$list" ]; do
    entry=${list%%"$nl"*} list=${list#*"$nl"}
    kind=${entry%%=*} entry=${entry#*=}
    [ -z "$dry_run" ] || { tell "would undo $kind $entry"; continue; }
    case $kind in
      binary | file)
        rm -f "$entry" 2>/dev/null || die 6 "could not remove $entry" 'Make its folder writable and run this again.'
        say "removed $entry"
        ;;
      dir) dirs=$dirs$entry$nl ;;
      *) remove_line "$kind" "${entry%%": [ ! -r "*}" "[ ! -r ${entry#*": [ ! -r "}" ;;
    esac
  done
  [ -n "$dry_run" ] || {
    rm -f "$receipt"
    remove_dirs "$dirs"
    say "$caro_product is uninstalled"
  }
}

announce() {
  step "platform $platform, version $caro_version ($caro_channel, $caro_choice), folder $dir"
  case $caro_choice:$caro_channel in
    rollout:beta)
      say "$caro_product $caro_version is a beta, chosen for you by a gradual rollout"
      say "for the stable $caro_stable: curl -fsS $origin/stable | sh"
      ;;
    fallback:*) say "the server cannot read its rollout just now, so this is the stable $caro_version" ;;
  esac
}

preview() {
  tell "would install $caro_product $caro_version ($caro_channel) for $platform"
  tell "would download $url ($size bytes, SHA-256 $sha256)"
  tell "would write $target"
  case ":${PATH-}:$no_modify_path" in *":$dir:"* | *:1) ;; *)
    if [ -n "$home" ] && [ -n "$config" ]; then
      find_rc_files
      [ -z "$rcs" ] || tell "would write $env_file and add a line to: $(printf '%s' "$rcs" | tr '\n' ' ')"
      [ -z "$fish" ] || tell "would write $fish"
    fi ;;
  esac
  [ -z "$receipt" ] || tell "would write $receipt"
  tell 'dry run: nothing was downloaded or changed'
}

main() {
  set -u
  # Native zsh does not split words and runs EXIT traps at the end of a function.
  [ -z "${ZSH_VERSION-}" ] || emulate sh
  IFS=" $nl"
  quiet='' verbose='' dry_run='' force='' no_modify_path='' uninstall=''
  bold='' red='' plain='' tty='' child='' stage='' made='' origin=$caro_origin
  begun='' platform='' system='' machine='' downloader=''
  if [ -t 2 ] && [ "${TERM:-dumb}" != dumb ]; then
    tty=1
    [ -n "${NO_COLOR-}" ] || bold=$(printf '\033[1m') red=$(printf '\033[31m') plain=$(printf '\033[0m')
  fi
  read_environment
  read_options "$@"
  find_folders
  if [ -n "$uninstall" ]; then
    undo_all
    exit 0
  fi
  [ -n "$caro_version" ] || die 7 'this is the template of the installer' "The installer is at $origin."
  hand_over
  # From here on there is something to tell.
  [ -n "$dry_run" ] || begun=$(date +%s 2>/dev/null) || begun=-
  find_platform
  env_file=$config/$caro_product/env
  announce
  if [ -n "$dry_run" ]; then
    preview
    exit 0
  fi
  read_receipt
  look_at_target
  trap clean_up EXIT
  trap 'quit 129' HUP
  trap 'quit 130' INT
  trap 'quit 143' TERM
  elsewhere='Choose a folder you can write to, for example: --dir ~/bin'
  make_dirs "$dir" || die 6 "cannot make the folder $dir: $complaint" "$elsewhere"
  # Beside the target: the rename is atomic then, and /tmp may forbid execution.
  stage=$(mktemp -d "$dir/.$caro_product-install.XXXXXX" 2>/dev/null) || {
    stage=$dir/.$caro_product-install.$$
    complaint=$( (umask 077 && mkdir "$stage") 2>&1) || {
      stage=
      die 6 "cannot write in $dir: $complaint" "$elsewhere"
    }
  }
  fetch_and_verify
  try_it
  # From here to the receipt nothing may come between, or --uninstall would not know of it all.
  trap '' HUP INT TERM
  mv -f "$stage/$caro_product" "$target" || die 6 "cannot write $target" "$elsewhere"
  keep "binary=$target"
  keep_made
  say "installed $caro_product $caro_version in $dir"
  set_path
  write_receipt
  [ -z "$begun" ] || leave 0
}
}

{ main "$@"; }
