#!/bin/bash
# Prove both commands of the README on bare Debian machines: as root, in fresh roots (see docker/root.sh),
#   scripts/prove.sh [bookworm] [trixie] [root] [sudo] [run] [units] [browser] [crawls1] [crawls2] [again]
# By default all releases, both kinds of user, all slices. A slice that has passed for the current content of the
# project is skipped, so an interrupted proof continues when it is started again; `again` forgets what has passed.
# Each slice takes less than ten minutes. ROOTS is the folder of the roots, 6 GB.
#
#   run       `make run` in a terminal: it sets up the machine, crawls, and every page of the shop must be done
#   units     `make test`, the tests outside of the two folders that follow
#   browser   `make test`, the tests that look at one page
#   crawls1   `make test`, the tests that run whole crawls, the first half of the modules
#   crawls2   the other half
set -euo pipefail
. "$(dirname "$0")/../docker/root.sh"

SUITES="bookworm trixie" USERS="root sudo" SLICES="run units browser crawls1 crawls2"
NEEDED_GB=6

fail() { printf 'prove: %s\n' "$*" >&2; exit 2; }

listed() { case " $2 " in *" $1 "*) ;; *) return 1 ;; esac; }

suites= users= slices= again=
for word; do
    if listed "$word" "$SUITES"; then suites="$suites $word"
    elif listed "$word" "$USERS"; then users="$users $word"
    elif listed "$word" "$SLICES"; then slices="$slices $word"
    elif [ "$word" = again ]; then again=yes
    else fail "\`$word\` is none of $SUITES, $USERS, $SLICES, again."
    fi
done

# --- what the proof itself needs --------------------------------------------------------------------------------

[ "$(id -u)" = 0 ] || fail "only root can make machines; run this again as root."
command -v debootstrap >/dev/null ||
    apt-get install --yes --no-install-recommends debootstrap >/dev/null 2>&1 || {
        apt-get update --quiet && apt-get install --yes --no-install-recommends debootstrap
    } >/dev/null 2>&1 || fail "there is no debootstrap, and apt could not install it."
mkdir -p "$ROOTS"
free_gb=$(($(df --output=avail -k "$ROOTS" | tail -1) / 1048576))
[ "$free_gb" -ge "$NEEDED_GB" ] || fail "$ROOTS has $free_gb GB free, $NEEDED_GB are needed; ROOTS names another folder."
# A process in a root keeps it busy: an interrupted proof must have ended before the next one begins.
exec 9>"$ROOTS/lock"
flock --wait 10 9 || fail "another proof is running in $ROOTS."

tree=$(cd "$project" && git ls-files -z --cached --others --exclude-standard | sort -z |
    xargs -0 sha256sum 2>/dev/null | sha256sum | cut -c 1-16 || :)
proved=$ROOTS/proved-$tree
[ -z "$again" ] || rm -f "$proved"
touch "$proved"

# --- a machine --------------------------------------------------------------------------------------------------

machine() {  # machine SUITE USER: sets root and account; a fresh one, or that of the slices before
    SUITE=$1 root=$ROOTS/bare-$1-$2 account=root
    [ "$2" = root ] || account=someone
    [ "$(cat "$root.of" 2>/dev/null)" != "$tree" ] || return 0
    rm -f "$root.of"
    base=$(base_root make)
    copy_root "$base" "bare-$1-$2" >/dev/null
    copy_project "$root" /src
    if [ "$account" = someone ]; then
        chroot "$root" useradd --create-home someone
        chroot "$root" chown -R someone: /src
        enter "$root" root sh -c 'apt-get update -qq; apt-get install -yqq --no-install-recommends sudo' \
            >"$root.log" 2>&1 </dev/null || { tail -5 "$root.log"; return 1; }
        echo 'someone ALL=(ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/someone"
    fi
    echo "$tree" >"$root.of"
}

slice() {  # slice NAME: what it runs, in the machine
    case $1 in
        # In a terminal of its own, as the live view is part of what is proven. Nobody types: an input that ends
        # would be typed as the end of file, again and again.
        run)
            rm -f "$ROOTS/silence"
            mkfifo "$ROOTS/silence"
            TERM=xterm enter "$root" "$account" script --quiet --return --command "make run" /dev/null <>"$ROOTS/silence"
            ;;
        units) enter "$root" "$account" make test TESTS="--ignore=tests/browser --ignore=tests/e2e --ignore=tests/plain" ;;
        browser) enter "$root" "$account" make test TESTS="tests/browser tests/plain" ;;
        crawls1) enter "$root" "$account" make test TESTS="tests/e2e/test_[a-n]*.py" ;;
        crawls2) enter "$root" "$account" make test TESTS="tests/e2e/test_[!a-n]*.py" ;;
    esac
}

verdict() {  # verdict NAME LOG: the line that says what came of it; fails where it does not say enough
    case $1 in
        run) grep -aoE 'ledger: .* ([0-9]+) done, 0 dead; the shop has \1 pages' "$2" ;;
        *) grep -aoE '^=+ .*[0-9]+ passed.* =+' "$2" | tail -1 | tr -d '=' | sed 's/^ *//; s/ *$//' | grep . ;;
    esac
}

failed=0
for suite in ${suites:-$SUITES}; do
    for kind in ${users:-$USERS}; do
        for name in ${slices:-$SLICES}; do
            what="$suite $kind $name"
            if grep "^$what: " "$proved"; then continue; fi
            begun=$(date +%s) log=$ROOTS/$suite-$kind-$name.log
            printf '%s ...\n' "$what"
            # The first command is proven on a machine on which nothing has run yet.
            [ "$name" != run ] || rm -f "$ROOTS/bare-$suite-$kind.of"
            machine "$suite" "$kind" || fail "$what: the machine could not be made."
            code=0
            export IN=/src
            slice "$name" >"$log" 2>&1 </dev/null || code=$?
            took=$(($(date +%s) - begun))
            if [ "$code" = 0 ] && came=$(verdict "$name" "$log"); then
                printf '%s: %s; %s s in all\n' "$what" "$came" "$took" | tee -a "$proved"
            else
                failed=$((failed + 1))
                grep -aE '^(FAILED|ERROR) ' "$log" || tail -n 15 "$log"
                # The next attempt writes a log of the same name, and what failed once is to be understood.
                mv "$log" "${log%.log}-failed-$begun.log"
                printf '%s: FAILED (%s) after %s s; %s\n' "$what" "$code" "$took" "${log%.log}-failed-$begun.log"
            fi
        done
        all=yes
        for name in $SLICES; do grep -q "^$suite $kind $name: " "$proved" || all=; done
        [ -z "$all" ] || { rm -f "$ROOTS/bare-$suite-$kind.of"; remove_root "$ROOTS/bare-$suite-$kind"; }
    done
done

left=$(($(echo $SUITES | wc -w) * $(echo $USERS | wc -w) * $(echo $SLICES | wc -w) - $(wc -l <"$proved")))
printf 'prove: %s failed, %s not proven yet of the present tree (%s)\n' "$failed" "$left" "$tree"
[ "$failed" = 0 ]
