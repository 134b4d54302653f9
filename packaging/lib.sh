# What scripts share, those of .ci and tests too. Sourced, with `set -euo pipefail` in force.

# What Debian calls them.
readonly -A DEBIAN=([x86_64]=amd64 [aarch64]=arm64)

# die TEXT: ends the script; a script that has more to tell has a function `tell`.
die() {
    echo "$0: $*" >&2
    [[ $(type -t tell) != function ]] || tell >&2
    exit 1
}

install_debian() {
    command -v apt-get >/dev/null || die "install the equivalent of Debian's $*"
    echo "$0: installing $*" >&2
    # One script after the other: apt-get does not wait.
    {
        flock 9 && apt-get update -qq &&
            DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
    } >&2 9<"${BASH_SOURCE[0]}" || die "cannot install $*"
}

# need COMMAND PACKAGE...: installs Debian packages if the command is missing.
need() {
    command -v "$1" >/dev/null || install_debian "${@:2}"
}
