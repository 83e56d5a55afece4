#!/bin/sh
# After the files are removed. The IPVS table stays, as after each stop; the
# user too, for files may still be its. dpkg's purge removes what Baton has
# remembered.
set -e
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi
if [ "$1" = purge ]; then
	rm -rf /var/lib/baton /run/baton
fi
