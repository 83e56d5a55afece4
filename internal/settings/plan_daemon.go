package settings

import (
	"fmt"

	"baton/ipvs"
)

// daemon plans one of the two daemons; sysctls are the values that hold when it
// is started.
func (p *planner) daemon(role ipvs.DaemonRole, sysctls map[string]string) (stop, start []Op) {
	want := p.want.Sync
	have, runs := p.now.Daemons[role]
	was, ours := p.out.Record.Daemons[role]
	end := Op{Kind: StopDaemon, Role: role, From: have.String()}
	switch {
	case want == nil && runs && ours && was.is(have, role):
		end.Reason = Unconfigured
		return []Op{end}, nil
	case want == nil:
		delete(p.out.Record.Daemons, role)
		if runs {
			p.out.Foreign = append(p.out.Foreign, daemonName(role)+" ("+have.String()+")")
		}
		return nil, nil
	}
	index, there := p.now.Links[want.Interface]
	begin := Op{Kind: StartDaemon, Role: role, Daemon: *want, Reason: Configured}
	next := Started{Asked: *want, Link: index, Sysctls: map[string]string{}}
	for _, name := range startOnly {
		if v, known := sysctls[name]; known {
			next.Sysctls[name] = v
		}
	}
	if runs {
		why := was.stale(next, ours, have, role)
		if why == "" {
			next.Got = have
			p.out.Record.Daemons[role] = next
			p.out.Held = append(p.out.Held, begin.Object())
			return nil, nil
		}
		end.Reason, begin.Reason, begin.From = why, why, have.String()
		stop = []Op{end}
	}
	if there {
		p.out.Record.Daemons[role] = next
		start = []Op{begin}
	}
	return stop, start
}

// is says whether have is what was started.
func (s Started) is(have ipvs.SyncDaemon, role ipvs.DaemonRole) bool {
	return have == s.Got || s.Got == ipvs.SyncDaemon{} && s.Asked.MetBy(role, have)
}

// stale says why a running daemon must be started anew, "" if it need not. It
// is adopted if its parameters are right, whoever has started it.
func (s Started) stale(next Started, ours bool, have ipvs.SyncDaemon, role ipvs.DaemonRole) string {
	switch {
	case ours && s.Asked != next.Asked:
		return "lvs_sync_daemon has changed"
	case ours && !s.is(have, role), !ours && !next.Asked.MetBy(role, have):
		return "it runs with other parameters"
	case ours && next.Link == 0:
		return fmt.Sprintf("interface %s is gone", next.Asked.Interface)
	case ours && s.Link != next.Link:
		return fmt.Sprintf("interface %s was made anew", next.Asked.Interface)
	}
	for _, name := range startOnly {
		if ours && s.Sysctls[name] != next.Sysctls[name] {
			return name + " is read at its start only"
		}
	}
	return ""
}
