# Fresh machines without a container engine: Debian roots made by debootstrap, entered in namespaces of their own.
# To be sourced, as root, with ROOTS (a folder for the roots, by default below /tmp) and SUITE (trixie).
#
# A root gets this machine's configuration of package indexes: apt's sources, pip's settings with the folders that they
# name, and the certificates. All processes in it end when the command ends.

ROOTS=${ROOTS:-/tmp/farm-roots}
SUITE=${SUITE:-trixie}
project=$(cd "$(dirname "$0")/.." && pwd)

base_root() {  # the untouched root of SUITE with the packages that are named, made once
    base="$ROOTS/base-$SUITE-$(printf '%s' "$*" | cksum | cut -d ' ' -f 1)"
    if [ ! -e "$base.ready" ]; then
        remove_root "$base"
        mkdir -p "$ROOTS"
        include=ca-certificates
        for package; do include="$include,$package"; done
        debootstrap --variant=minbase --include="$include" "$SUITE" "$base" >"$base.log" || return 1
        rm -rf "$base/etc/apt/sources.list" "$base/var/cache/apt/archives"/*.deb
        cp -a /etc/apt/. "$base/etc/apt/"
        here=$(. /etc/os-release && echo "$VERSION_CODENAME")
        for list in "$base"/etc/apt/sources.list "$base"/etc/apt/sources.list.d/*; do
            [ ! -f "$list" ] || sed -i "s/\b$here\b/$SUITE/g" "$list"
        done
        for settings in /etc/pip.conf "$HOME/.config/pip/pip.conf"; do
            [ ! -f "$settings" ] || cat "$settings"
        done | awk '!/^\[/ || !seen[$0]++' >"$base/etc/pip.conf"
        # By another name: the package ca-certificates would write its own over it.
        cp /etc/ssl/certs/ca-certificates.crt "$base/etc/ssl/machine.pem"
        touch "$base.ready"
    fi
    echo "$base"
}

copy_root() {  # a root to be used up: copy_root BASE NAME
    remove_root "$ROOTS/$2"
    cp -a --reflink=auto "$1" "$ROOTS/$2"
    echo "$ROOTS/$2"
}

remove_root() {  # never across a mount
    [ ! -d "$1" ] || rm -rf --one-file-system "$1"
}

enter() {  # enter ROOT USER COMMAND...: run it there as USER, in the folder $IN, with what $KEEP adds to env
    root=$1 user=$2
    shift 2
    export root user
    # $CONFINED is a seccomp profile in the root: with it the command is held as a container engine would hold it.
    # Whoever ends the caller, by whatever signal, ends all that runs there.
    setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --propagation private sh -eu -c '
        mount --bind "$root" "$root"
        mount -t proc proc "$root/proc"
        mount --rbind /sys "$root/sys"
        mount --bind /dev "$root/dev"
        mount -t devpts -o ptmxmode=0666,mode=0620 devpts "$root/dev/pts"
        mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
        cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
        # Folders of packages that the settings of pip name.
        for folder in $(grep -oE "(file://)?/[[:alnum:]_./-]+" "$root/etc/pip.conf" | sed "s,^file://,,"); do
            [ -d "$folder" ] || continue
            top=/$(printf "%s" "$folder" | cut -d / -f 2,3)
            mkdir -p "$root$top"
            mount --bind -o ro "$top" "$root$top"
        done
        # Not chroot: in one, Chromium could not make the namespaces of its sandbox.
        cd "$root"
        mkdir -p .old
        pivot_root . .old
        umount -l /.old
        certificates=/etc/ssl/machine.pem
        set -- env PIP_CERT=$certificates SSL_CERT_FILE=$certificates TERM="${TERM:-dumb}" ${KEEP:-} \
            sh -eu -c "cd \"${IN:-/}\"; exec \"\$@\"" enter "$@"
        [ -z "${CONFINED:-}" ] || set -- python3 /run/confine.py "$CONFINED" "$@"
        set -- setpriv --reuid "$user" --regid "$user" --init-groups --reset-env \
            ${CONFINED:+--no-new-privs --bounding-set=-all --inh-caps=-all} "$@"
        # The image has an init of its own. Else this shell stays process 1: it reaps what loses its parent, which
        # make does not, and `script` waits for in vain.
        [ -z "${CONFINED:-}" ] || exec "$@"
        "$@"
        exit
    ' enter "$@"
}

copy_project() {  # to the folder $2 of the root $1: what a clone would have, be it committed yet or not
    mkdir -p "$1$2"
    git -C "$project" ls-files -z --cached --others --exclude-standard | tar -C "$project" --null -T - -c --ignore-failed-read |
        tar -x --no-same-owner -C "$1$2"
}
