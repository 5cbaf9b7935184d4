#!/bin/bash
# Prove the image and the set-up without a container engine, in fresh Debian roots (see root.sh): as root,
#   docker/prove.sh image                 carry out the Dockerfile, then crawl the demo shop as the image would
#   docker/prove.sh setup [TARGET...]     `make setup` twice as every kind of user, then each make TARGET
# SUITE is the Debian release (trixie, which is the image's; for `setup` also bookworm), ROOTS the folder of the roots.
set -eu
. "$(dirname "$0")/root.sh"

say() { printf '\n=== %s\n' "$*"; }

# --- the image --------------------------------------------------------------------------------------------

dockerfile() {  # dockerfile ROOT: carry out its instructions; sets entry, folder, user and KEEP
    root=$1 folder=/ user=root KEEP= entry=
    while read -r instruction rest; do
        case $instruction in
            '' | '#'* | FROM | ARG | VOLUME | CMD | HEALTHCHECK) continue ;;
        esac
        printf '%s %s\n' "$instruction" "$rest"
        case $instruction in
            ENV) KEEP="$KEEP $rest" ;;
            WORKDIR) folder=$rest; mkdir -p "$root$folder" ;;
            USER) user=$rest ;;
            COPY) copy_from_context $rest ;;
            RUN) KEEP=$KEEP IN=$folder enter "$root" "$user" sh -c "$rest" >>"$root.log" 2>&1 ||
                { tail -20 "$root.log"; exit 1; } ;;
            ENTRYPOINT) entry=$(printf '%s' "$rest" | tr -d '[],"') ;;
            *) echo "an instruction that is not known here"; exit 1 ;;
        esac
    done <"$project/docker/Dockerfile"
}

copy_from_context() {  # COPY A... B, as the engine does it: a folder's content, a file by its name or into B/
    last=${!#}
    for source in "${@:1:$#-1}"; do
        target=$root$folder/$last
        if [ -d "$project/$source" ]; then
            mkdir -p "$target"
            (cd "$project/$source" && tar -c --exclude __pycache__ .) | tar -x --no-same-owner -C "$target"
        else
            case $last in */) target=$target$(basename "$source") ;; esac
            mkdir -p "$(dirname "$target")"
            cp "$project/$source" "$target"
        fi
    done
}

within() {  # within SECONDS COMMAND...: try it until it succeeds
    for _ in $(seq $((10 * $1))); do
        "${@:2}" 2>/dev/null && return 0
        sleep 0.1
    done
    return 1
}

first_process() {  # first_process PID NAME: the first of this name below a process
    for child in $(pgrep -P "$1"); do
        if [ "$(cat "/proc/$child/comm")" = "$2" ]; then echo "$child"; return 0; fi
        ! first_process "$child" "$2" || return 0
    done
    return 1
}

image() {
    # Stands for python:3.13-slim-trixie: the same release, Python by the distribution.
    root=$(copy_root "$(base_root python3-venv)" image)
    : >"$root.log"
    say "the Dockerfile's instructions"
    time dockerfile "$root"
    cp "$project/docker/confine.py" "$project/docker/seccomp/seccomp.json" "$root/run/"
    export IN=$folder KEEP CONFINED=/run/seccomp.json

    say "as the image runs: $user, no capabilities, seccomp.json, $entry"
    enter "$root" "$user" $entry version
    enter "$root" "$user" $entry doctor
    "$project/.venv/bin/python" -m fixtures.shop >"$root.shop" &
    shop=$!
    trap 'kill $shop' EXIT
    until url=$(grep . "$root.shop"); do sleep 0.1; done
    enter "$root" "$user" $entry run "$url" --contexts 4 --allow-network 127.0.0.0/8 --live off
    python3 - "$root"/crawls/*/summary.json <<'END'
import json, sys
print("ledger:", json.load(open(sys.argv[1]))["ledger"])
END

    say "told to end as an engine does it: SIGTERM to process 1"
    enter "$root" "$user" $entry run "$url" --output /crawls/told --stay --contexts 4 --allow-network 127.0.0.0/8 --live off &
    running=$!
    within 60 grep -q . "$root/crawls/told/pages.jsonl" || { echo "there is no page"; exit 1; }
    kill -TERM "$(first_process "$running" tini)"
    code=0
    wait "$running" || code=$?
    [ "$code" = 143 ] || { echo "it ended with $code"; exit 1; }
    [ "$(wc -l <"$root/crawls/told/pages.jsonl")" = "$(python3 -c 'import json, sys
print(json.load(open(sys.argv[1]))["ledger"]["done"])' "$root/crawls/told/summary.json")" ]
    remove_root "$root"
}

# --- the set-up -------------------------------------------------------------------------------------------

twice() {  # twice WHO: set up, and again, which must be quick and touch nothing
    say "$1: first time"
    time enter "$root" "$1" make setup
    touch "$root/tmp/mark"
    say "$1: again"
    time enter "$root" "$1" make setup
    [ -z "$(find "$root/src" "$root/home" "$root/root" -newer "$root/tmp/mark")" ] || { echo "it touched files"; exit 1; }
}

machine() {  # machine NAME: a fresh one with make and the project, and the user `someone`
    remove_root "${root:-}"
    root=$(copy_root "$(base_root make)" "$1-$SUITE")
    copy_project "$root" /src
    chroot "$root" useradd --create-home someone
}

apt_in() { enter "$root" root sh -c "apt-get update -qq && apt-get install -yqq --no-install-recommends $1 >/dev/null 2>&1"; }

set_up() {
    export IN=/src
    say "$SUITE, an ordinary user without anything"
    machine plain
    chroot "$root" chown -R someone: /src
    if enter "$root" someone make setup 2>"$root.said"; then echo "it should have said what is missing"; exit 1; fi
    grep "missing: Redis.*, Python.*, a browser; as root, run" "$root.said"
    [ ! -e "$root/src/.venv" ] || { echo "something is half-created"; exit 1; }
    say "$SUITE, the same with what it named installed by somebody"
    apt_in "$(sed -n 's/.*`apt-get install \(.*\)`.*/\1/p' "$root.said")"
    twice someone
    say "$SUITE, an ordinary user with sudo"
    machine sudoer
    chroot "$root" chown -R someone: /src
    apt_in sudo
    echo 'someone ALL=(ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/someone"
    twice someone
    say "$SUITE, root"
    machine root
    twice root
    for target; do
        say "$SUITE, root: make $target"
        time enter "$root" root make "$target"
    done
    remove_root "$root"
}

case ${1:-} in
    image) image ;;
    setup) shift; set_up "$@" ;;
    *) sed -n '2,5s/^# //p' "$0"; exit 2 ;;
esac
