#!/bin/sh
# After the files are in place. dpkg calls it with "configure" and the version
# before, rpm with the number of versions that are installed now.
set -e
case "$1" in
configure) before=$2 ;;
1) before= ;;
2) before=yes ;;
*) exit 0 ;;
esac

systemd-sysusers baton.conf
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi

# A director is never restarted from here: where both are upgraded at the same
# time, as unattended upgrades do, nobody would hold the address meanwhile. The
# one that runs goes on, its children too, with the binary that it was started
# from.
if [ -n "$before" ] && [ -d /run/systemd/system ] && systemctl --quiet is-active baton.service; then
	echo "baton: the director that runs is still the one before. Restart the backup first, then the"
	echo "baton: master, on each: systemctl restart baton; no request is lost (docs/upgrade.md)"
fi
