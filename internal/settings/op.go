package settings

import (
	"fmt"
	"strings"

	"baton/conf"
	"baton/ipvs"
)

// Kind is what an operation does. Plans are in this order.
type Kind uint8

// The operations.
const (
	SetSysctl Kind = iota
	SetTimeouts
	StopDaemon
	StartDaemon
)

// Op is one change of the kernel.
type Op struct {
	Kind     Kind
	Sysctl   conf.Sysctl     // of SetSysctl
	Timeouts ipvs.Timeouts   // of SetTimeouts
	Role     ipvs.DaemonRole // of StopDaemon and StartDaemon
	Daemon   ipvs.SyncDaemon // of StartDaemon
	From     string          // what stands there, "" where nothing does
	Reason   string          // why it is done
}

// String returns the operation as a command line that can be pasted into a
// shell.
func (o Op) String() string {
	switch o.Kind {
	case SetSysctl:
		v := o.Sysctl.Value
		if strings.ContainsAny(v, " \t") {
			v = `"` + v + `"`
		}
		return "sysctl -w " + sysctlName(o.Sysctl.Name) + "=" + v
	case SetTimeouts:
		return o.Timeouts.String()
	case StopDaemon:
		return o.Role.StopCommand()
	}
	return o.Role.StartCommand(o.Daemon)
}

// Object names what the operation is about, such as "sync daemon backup".
func (o Op) Object() string {
	switch o.Kind {
	case SetSysctl:
		return "sysctl " + sysctlName(o.Sysctl.Name)
	case SetTimeouts:
		return "timeouts"
	}
	return daemonName(o.Role)
}

func daemonName(r ipvs.DaemonRole) string { return fmt.Sprintf("sync daemon %s", r) }

// sysctlName is the parameter's name for sysctl(8).
func sysctlName(name string) string { return "net.ipv4.vs." + name }
