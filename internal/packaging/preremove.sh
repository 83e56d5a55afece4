#!/bin/sh
# Before the files are removed: hand over and stop. On an upgrade nothing is
# stopped or disabled; dpkg then says "upgrade", rpm a number above 0.
set -e
case "$1" in
remove | 0) ;;
*) exit 0 ;;
esac
if [ -d /run/systemd/system ]; then
	systemctl --quiet disable --now baton.service
	systemctl --quiet disable baton-realserver.service
	# systemctl knows instances by a pattern only while they are loaded. One that
	# is named twice is gone the second time. One that cannot be disabled, as a
	# masked one, is told by systemctl and does not keep the package here.
	for link in /etc/systemd/system/*.wants/baton-realserver@*.service /etc/systemd/system/*.requires/baton-realserver@*.service; do
		if [ -L "$link" ]; then
			systemctl --quiet disable "${link##*/}" || true
		fi
	done
elif [ -x /usr/sbin/baton ]; then
	baton stop --runtime-dir /run/baton
fi

# An address of a real server stays, for the connections in flight; the record is
# there only while there is something to undo.
if [ -s /run/baton/realserver.json ]; then
	echo "baton: virtual addresses that were put up here stay until the machine is started again, as do the"
	echo "baton: parameters that keep it silent about them. What takes them back is gone with the package:"
	echo "baton: install it again, run baton realserver down, and then remove it"
fi
