#!/bin/sh
# Makes everything that `make demo` and `make test` need: .venv with the locked dependencies, mosquitto and logrotate.
#
# Does nothing the second time. Needs no root: what only root could install is asked for in one line. PYTHON names the
# interpreter to use, where the choice made here is not the wanted one.
set -eu

cd "$(dirname "$0")/.."
here=$(pwd -P)
venv=.venv
stamp=$venv/weir-setup
lock=requirements/dev.txt
oldest_python='3.10'

say() { printf 'set-up: %s\n' "$*" >&2; }
fail() {
    say "$*"
    exit 1
}

# What apt and pip print matters only when they fail.
log=$(mktemp)
trap 'rm -f "$log"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
quietly() { "$@" >"$log" 2>&1 </dev/null; }
show_log() { tail -n 30 "$log" | sed 's/^/    /' >&2; }

# ---- apt, where it may be used

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi
}
may_use_apt() {
    command -v apt-get >/dev/null 2>&1 && as_root true >/dev/null 2>&1
}
# With RUNLEVEL=1 a package's script finds no service to start on a machine without systemd.
apt_get() {
    as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -q -y -o DPkg::Lock::Timeout=120 "$@"
}
# Lists that cannot be refreshed may still be good enough to install from.
refresh_and_install() {
    apt_get update || true
    apt_get install --no-install-recommends "$1"
}
apt_install() {
    may_use_apt || return 1
    say "installing $1 (apt)"
    quietly refresh_and_install "$1" || { show_log; return 1; }
}

# ---- Python

# Prints the interpreter's path if it is new enough. Of a virtual environment it is the one underneath: the environment
# that somebody has activated may be the very one that is about to be remade.
interpreter() {
    "$1" -c '
import sys
if sys.version_info < tuple(map(int, sys.argv[1].split("."))):
    sys.exit(1)
print(getattr(sys, "_base_executable", sys.executable))' "$oldest_python" 2>/dev/null
}
find_python() {
    for candidate in "${PYTHON:-python3}" python3.13 python3.12 python3.11 python3.10; do
        if interpreter "$candidate"; then return; fi
        if [ -n "${PYTHON:-}" ]; then fail "PYTHON=$PYTHON is not Python $oldest_python or newer"; fi
    done
    fail "Python $oldest_python or newer is needed (on Debian and Ubuntu, as root: apt install python3 python3-venv)"
}
has_venv() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }

# ---- .venv: remade when the lock, the interpreter or the place has changed, so that it never holds a mixture

hash_of() { cat "$@" | sha256sum | cut -d ' ' -f 1; }

make_venv() {
    if ! has_venv "$1"; then
        package=$(basename "$1")-venv
        apt_install "$package" && has_venv "$1" || fail "Python's venv is missing. As root: apt install $package"
    fi
    say "making $venv with $("$1" -V)"
    rm -rf "$venv"
    quietly "$1" -m venv "$venv" || { show_log; fail "$1 -m venv failed"; }

    say "installing the locked dependencies"
    # The lock names every package, so nothing is resolved, and wheels only: nothing is compiled here.
    pip_install --no-deps --only-binary :all: --require-hashes -r "$lock"
}
pip_install() {
    quietly "$venv/bin/python" -m pip install --disable-pip-version-check --no-input "$@" || {
        show_log
        fail "pip could not install; the lines above say why"
    }
}
install_weir() {
    # Without isolation the build backend is the locked one.
    pip_install --no-deps --no-build-isolation --editable .
}

# ---- mosquitto

has_mosquitto() { command -v mosquitto >/dev/null 2>&1 || [ -x /usr/sbin/mosquitto ]; }

# The tests start brokers of their own; the package's would only sit on port 1883.
silence_mosquitto_service() {
    if [ -d /run/systemd/system ]; then
        as_root systemctl disable --now mosquitto
    elif command -v update-rc.d; then
        as_root update-rc.d mosquitto disable
    fi
}
want_mosquitto() {
    if has_mosquitto; then return; fi
    if apt_install mosquitto; then
        quietly silence_mosquitto_service || say "mosquitto is installed, and its service could not be switched off"
    else
        say "mosquitto is missing (as root: apt install mosquitto):" \
            "the demonstration uses another broker, the broker tests fail"
    fi
}

# ---- logrotate: one test rotates logs with it, and is skipped without it

want_logrotate() {
    if command -v logrotate >/dev/null 2>&1 || [ -x /usr/sbin/logrotate ]; then return; fi
    apt_install logrotate || say "logrotate is missing (as root: apt install logrotate): the test of it is skipped"
}

# ----

# Two runs at once in one checkout would take .venv from under each other.
if command -v flock >/dev/null 2>&1; then
    exec 9<"scripts/setup.sh"
    flock 9
fi

python=$(find_python)
wanted="$here $("$python" -VV | tr '\n' ' ') $(hash_of "$lock")"
project=$(hash_of pyproject.toml)

if ! { [ -f "$stamp" ] && [ "$(sed -n 1p "$stamp")" = "$wanted" ] && "$venv/bin/python" -c ''; } >/dev/null 2>&1; then
    make_venv "$python"
fi
if [ "$(sed -n 2p "$stamp" 2>/dev/null)" != "$project" ]; then
    install_weir
    printf '%s\n%s\n' "$wanted" "$project" >"$stamp"
fi
want_mosquitto
want_logrotate
