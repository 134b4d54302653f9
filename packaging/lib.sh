# What the scripts of this folder share. Sourced, with `set -euo pipefail` in force.

die() {
    echo "$0: $*" >&2
    exit 1
}

install_debian() {
    command -v apt-get >/dev/null || die "install the equivalent of Debian's $*"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"; } >&2 ||
        die "cannot install $*"
}

# need COMMAND PACKAGE...: installs Debian packages if the command is missing.
need() {
    command -v "$1" >/dev/null || install_debian "${@:2}"
}
