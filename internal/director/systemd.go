package director

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"
)

// notifySystemd tells the service manager about our state. Without one it does
// nothing; a manager that does not listen is not our trouble.
func notifySystemd(state string) { _, _ = daemon.SdNotify(false, state) }

// notifyReloading begins a reload in the protocol of Type=notify-reload, which
// wants the monotonic time of the moment (sd_notify(3)).
func notifyReloading() {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return
	}
	notifySystemd(fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", ts.Nano()/1000))
}

// tellRoles gives `systemctl status` the instances' states.
func (c *core) tellRoles() {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(c.instances)) {
		lines = append(lines, fmt.Sprintf("%s %s", name, c.instances[name].role))
	}
	if len(lines) == 0 {
		lines = []string{"no vrrp_instance"}
	}
	notifySystemd("STATUS=" + joinSome(lines, len(lines), strings.Clone, maxRoles))
}

// maxRoles bounds that line, in bytes; `baton status` has all.
const maxRoles = 120

// feedWatchdog tells systemd twice in each period that the core still works:
// it goes through the core's inbox, so that a stuck core is a missed beat.
func (c *core) feedWatchdog(ctx context.Context) error {
	period, err := daemon.SdWatchdogEnabled(false)
	if err != nil || period == 0 {
		<-ctx.Done()
		return nil
	}
	t := time.NewTicker(period / 2)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			if c.ask(ctx, func() {}) == nil {
				notifySystemd("WATCHDOG=1")
			}
		}
	}
}
