#!/bin/sh
# Before the files are removed: hand over and stop. On an upgrade nothing is
# stopped; dpkg then says "upgrade", rpm a number above 0.
set -e
case "$1" in
remove | 0) ;;
*) exit 0 ;;
esac
if [ -d /run/systemd/system ]; then
	systemctl --quiet disable --now baton.service
	systemctl --quiet disable baton-realserver.service
elif [ -x /usr/sbin/baton ]; then
	baton stop --runtime-dir /run/baton
fi
