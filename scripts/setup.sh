#!/bin/sh
# Install what the farm needs and does not have: .venv with the locked packages, a browser, a Redis server.
#
# A second run only checks: the stamp in .venv tells whether the packages match the lock file. It uses pip's settings
# of this machine (index, certificates, cache). Without root and sudo it works if the system's packages are installed,
# and else names all that are missing. PYTHON names the interpreter to use
# (3.11 or later, with venv), VENV another folder than .venv. `setup.sh tests` also installs what only tests need.
set -eu
cd "$(dirname "$0")/.."
venv=${VENV:-.venv}

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

# --- the system's packages -------------------------------------------------------------------------------

may_install() {
    command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }
}

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }

quietly() {  # run a command; show its output only if it fails
    log=$(mktemp)
    if "$@" >"$log" 2>&1 </dev/null; then rm -f "$log"; else tail -n 20 "$log" >&2; rm -f "$log"; return 1; fi
}

apt() { quietly as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 "$@"; }

lists_are_fresh=
install_first_of() {  # the first of these packages that the distribution has
    if [ -z "$lists_are_fresh" ]; then
        apt update || say "apt could not refresh its lists; going on with those that are there"
        lists_are_fresh=yes
    fi
    for package; do
        apt-cache show "$package" >/dev/null 2>&1 || continue
        say "installing $package with apt"
        apt install --yes --no-install-recommends "$package" && return 0
    done
    return 1
}

# --- Redis: the farm starts its own server, so install the program without the service --------------------

redis() { command -v redis-server || command -v valkey-server; }

without_service() {  # install the first of these packages, with no service started now or at the next boot
    [ -e /usr/sbin/policy-rc.d ] || {
        # The package calls it before it starts its service; 101 means no.
        printf '#!/bin/sh\nexit 101\n' | as_root tee /usr/sbin/policy-rc.d >/dev/null
        as_root chmod 755 /usr/sbin/policy-rc.d
        trap 'as_root rm -f /usr/sbin/policy-rc.d' EXIT
    }
    install_first_of "$@" || return 1
    if command -v systemctl >/dev/null; then
        as_root systemctl disable "$@" >/dev/null 2>&1 || :
    fi
}

# --- for the tests, which start servers of their own: `setup.sh tests` installs them -------------------------------

postgresql() { ls -d /usr/lib/postgresql/*/bin/initdb 2>/dev/null || command -v initdb; }

# --- Python: use the one that PYTHON names or fail; never install another in its place ---------------

DISTRIBUTION=/usr/bin/python3
fit='import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))'
find_python() {
    for python in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
        ! "$python" -c "$fit" 2>/dev/null || return 0
    done
    return 1
}

# --- report all missing system packages at once ----------------------------------------------------

BROWSERS="chromium-headless-shell headless_shell chromium google-chrome"

may_have_browser() {  # on PATH, or one of Playwright's, which is looked at once there is a Playwright
    for name in $BROWSERS; do ! command -v "$name" >/dev/null || return 0; done
    for folder in "${PLAYWRIGHT_BROWSERS_PATH:-${HOME:-}/.cache/ms-playwright}"/chromium*; do
        [ ! -d "$folder" ] || return 0
    done
    return 1
}

package_of() {  # the first that the distribution has, by its lists; where there are none, the first
    for package; do ! apt-cache show "$package" >/dev/null 2>&1 || { echo "$package"; return; }; done
    echo "$1"
}

lack() {  # lack NAME PACKAGE...
    missing="${missing:+$missing, }$1"
    shift
    packages="$packages $(package_of "$@")"
}

tests=${1:-}

look() {  # sets what is missing, and the packages that bring it
    missing= packages=
    redis >/dev/null || lack "Redis 7.0 or later" redis-server valkey-server
    find_python || lack "Python 3.11 or later with venv" python3-venv
    command -v make >/dev/null || lack make make
    [ "$tests" != tests ] || {
        postgresql >/dev/null || lack "PostgreSQL for the tests" postgresql
        command -v prometheus >/dev/null || lack "Prometheus for the tests" prometheus
    }
}

look
if [ -n "$missing" ] && may_install; then
    redis >/dev/null || without_service redis-server valkey-server || :
    find_python || [ "${PYTHON:-$DISTRIBUTION}" != "$DISTRIBUTION" ] || install_first_of python3-venv || :
    command -v make >/dev/null || install_first_of make || :
    [ "$tests" != tests ] || {
        postgresql >/dev/null || without_service postgresql || :
        # One test wants it, and is left out without it.
        PATH="$PATH:/usr/sbin" command -v pgbouncer >/dev/null || without_service pgbouncer || :
        command -v prometheus >/dev/null || without_service prometheus || :
    }
    look
fi
if [ -n "$missing" ]; then
    # A missing browser alone does not stop here: Playwright's own can be installed without root.
    may_have_browser || lack "a browser" chromium-headless-shell chromium
    remedy="install it"
    ! command -v apt-get >/dev/null || remedy="as root, run \`apt-get install$packages\`"
    [ -z "${PYTHON:-}" ] || find_python || remedy="$remedy (PYTHON names \`$PYTHON\`)"
    fail "missing: $missing; $remedy, then run this again."
fi

# --- the packages of Python -----------------------------------------------------------------------------------

# The stamp: if lock file, project, interpreter or folder differ, the environment is updated.
stamp() {
    "$python" - <<'END'
import hashlib, os, pathlib, sys
parts = [pathlib.Path(name).read_bytes() for name in ("requirements.lock", "pyproject.toml")]
parts += [os.path.realpath(sys.executable).encode(), sys.version.encode(), os.getcwd().encode()]
print(hashlib.sha256(b"\0".join(parts)).hexdigest())
END
}

wanted=$(stamp)
if [ -L "$venv" ]; then
    # A symbolic link, shared on purpose: use it unchanged, for clearing it would break it for its owner.
    "$venv"/bin/python -m pip --version >/dev/null 2>&1 ||
        fail "$venv is a link to an environment that does not work; remove the link, then run this again."
elif [ "$(cat "$venv"/.stamp 2>/dev/null)" != "$wanted" ] || ! "$venv"/bin/python -c '' 2>/dev/null; then
    rm -f "$venv"/.stamp
    # Recreate it unless it has the same interpreter and folder.
    made_of="$("$python" -c 'import os, sys; print(os.path.realpath(sys.executable), sys.version, os.getcwd())')"
    if [ "$(cat "$venv"/.made-of 2>/dev/null)" != "$made_of" ] || ! "$venv"/bin/python -m pip --version >/dev/null 2>&1
    then
        say "creating $venv with $("$python" --version)"
        "$python" -m venv --clear "$venv"
        printf '%s\n' "$made_of" >"$venv"/.made-of
    fi
    say "installing the locked packages"
    quietly "$venv"/bin/python -m pip install --require-hashes --requirement requirements.lock ||
        fail "pip could not install the locked packages; its own words are above."
    quietly "$venv"/bin/python -m pip install --no-deps --no-build-isolation --editable . ||
        fail "pip could not install the farm itself; its own words are above."
    printf '%s\n' "$wanted" >"$venv"/.stamp
fi

# --- the browser ----------------------------------------------------------------------------------------------

browser() {  # one that runs: of the system, else the one the farm would take from Playwright's own folder
    for name in $BROWSERS; do
        path=$(command -v "$name") && "$path" --version >/dev/null 2>&1 </dev/null && echo "$path" && return 0
    done
    path=$("$venv"/bin/python -c 'from farm.browser.chromium import find_browser; print(find_browser().path)' 2>/dev/null) &&
        "$path" --version >/dev/null 2>&1 </dev/null && echo "$path"
}

fetch_browser() {  # Playwright's own, bounded: where its server cannot be reached this ends soon
    PLAYWRIGHT_DOWNLOAD_CONNECTION_TIMEOUT=10000 "$venv"/bin/python - <<'END'
import os, signal, subprocess, sys
command = [sys.executable, "-m", "playwright", "install", "--only-shell", "chromium"]
quiet = subprocess.DEVNULL
# In a process group of its own: Playwright starts Node, and both must be killed at the time limit.
fetching = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True)
try:
    sys.exit(fetching.wait(timeout=600))
except subprocess.TimeoutExpired:
    os.killpg(fetching.pid, signal.SIGKILL)
    sys.exit(1)
END
}

if ! browser >/dev/null; then
    say "fetching Playwright's own browser"
    fetch_browser && browser >/dev/null || {
        say "that browser cannot be downloaded or does not run here; trying the distribution's"
        # Without fonts, screenshots show no text.
        may_install && install_first_of chromium-headless-shell chromium && install_first_of fonts-liberation || :
    }
    browser >/dev/null ||
        fail "missing: a browser; install $(package_of chromium-headless-shell chromium), then run this again."
fi

say "ready: $("$venv"/bin/python --version) in $venv, $(browser), $(redis)"
