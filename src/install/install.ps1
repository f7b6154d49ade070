# @PRELUDE@
& { $CaroVersion }
