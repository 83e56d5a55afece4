#!/bin/sh
# After the files are removed. The IPVS table stays, as after each stop; the
# user too, for files may still be its. dpkg's purge removes what Baton has
# remembered, but for the record of what still stands on a real server: without
# it nobody could undo that. The machine's next start takes both away.
set -e
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi
if [ "$1" = purge ]; then
	rm -rf /var/lib/baton
	if [ -s /run/baton/realserver.json ]; then
		echo "baton: kept, as what it tells of still stands: /run/baton/realserver.json"
	else
		rm -rf /run/baton
	fi
fi
