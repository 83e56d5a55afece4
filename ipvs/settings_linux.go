package ipvs

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	moby "github.com/moby/ipvs"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

const (
	cmdNewDaemon = 9 // IPVS_CMD_*, linux/ip_vs.h
	cmdDelDaemon = 10
	cmdGetDaemon = 11
	cmdSetInfo   = 14 // the answer to cmdGetInfo
	cmdGetInfo   = 15
	cmdZero      = 16

	attrDaemon = 3 // IPVS_CMD_ATTR_DAEMON

	daemonState  = 1 // IPVS_DAEMON_ATTR_*
	daemonIfn    = 2
	daemonID     = 3
	daemonMaxLen = 4
	daemonGroup  = 5
	daemonGroup6 = 6
	daemonPort   = 7
	daemonTTL    = 8

	infoVersion  = 1 // IPVS_INFO_ATTR_*
	infoConnSize = 2
)

// Daemons returns the connection synchronisation daemons that run.
func (k *LinuxKernel) Daemons(ctx context.Context) (map[DaemonRole]SyncDaemon, error) {
	return ask(ctx, k, func(s *sockets, _ func()) (map[DaemonRole]SyncDaemon, error) {
		running := map[DaemonRole]SyncDaemon{}
		err := s.conn.request(cmdGetDaemon, unix.NLM_F_DUMP, nil, func(payload []byte) error {
			role, d, err := parseDaemon(payload)
			if err == nil {
				running[role] = d
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("list sync daemons: %w", err)
		}
		return running, nil
	})
}

// StartDaemon starts a connection synchronisation daemon. Its error wraps the
// kernel's errno and says what to do: EEXIST (one of that role runs), ENODEV (no
// such interface), EINVAL (a service has a server of another family).
func (k *LinuxKernel) StartDaemon(ctx context.Context, role DaemonRole, d SyncDaemon) error {
	err := k.owner.do(ctx, func(s *sockets, _ func()) error {
		return s.conn.request(cmdNewDaemon, unix.NLM_F_ACK, func(e *encoder) { e.daemon(role, d) }, nil)
	})
	switch {
	case errors.Is(err, syscall.EEXIST):
		err = fmt.Errorf("%w: one runs: stop it first with %s", err, role.StopCommand())
	case errors.Is(err, syscall.ENODEV), errors.Is(err, syscall.EADDRNOTAVAIL):
		err = fmt.Errorf("%w: interface %s must exist, be up and have an address of the group's family", err, d.Interface)
	case errors.Is(err, syscall.EINVAL):
		err = fmt.Errorf("%w: no service may have a server of another address family, and the group must be one of multicast", err)
	}
	return explain(nil, err)
}

// StopDaemon stops the daemon of the role. Its error wraps ESRCH if none runs.
func (k *LinuxKernel) StopDaemon(ctx context.Context, role DaemonRole) error {
	return explain(nil, k.owner.do(ctx, func(s *sockets, _ func()) error {
		return s.conn.request(cmdDelDaemon, unix.NLM_F_ACK, func(e *encoder) { e.daemon(role, SyncDaemon{}) }, nil)
	}))
}

// Timeouts returns how long connections are remembered.
func (k *LinuxKernel) Timeouts(ctx context.Context) (Timeouts, error) {
	return ask(ctx, k, func(s *sockets, _ func()) (Timeouts, error) {
		c, err := s.moby.GetConfig()
		if err != nil {
			return Timeouts{}, fmt.Errorf("read timeouts: %w", err)
		}
		return Timeouts{TCP: c.TimeoutTCP, TCPFin: c.TimeoutTCPFin, UDP: c.TimeoutUDP}, nil
	})
}

// SetTimeouts changes those that are not 0.
func (k *LinuxKernel) SetTimeouts(ctx context.Context, t Timeouts) error {
	w := t.whole()
	err := k.owner.do(ctx, func(s *sockets, _ func()) error {
		return s.moby.SetConfig(&moby.Config{TimeoutTCP: w.TCP, TimeoutTCPFin: w.TCPFin, TimeoutUDP: w.UDP})
	})
	if errors.Is(err, syscall.EINVAL) {
		err = fmt.Errorf("%w: the kernel takes 1 s to 2³¹/HZ s, 24 days at the least", err)
	}
	return explain(nil, err)
}

// Info returns the version of the kernel's IPVS and the size of its connection table.
func (k *LinuxKernel) Info(ctx context.Context) (Info, error) {
	return ask(ctx, k, func(s *sockets, _ func()) (info Info, err error) {
		err = s.conn.request(cmdGetInfo, unix.NLM_F_ACK, nil, func(payload []byte) (err error) {
			if len(payload) > 0 && payload[0] == cmdSetInfo {
				info, err = parseInfo(payload)
			}
			return err
		})
		if err != nil {
			return info, fmt.Errorf("read version: %w", err)
		}
		return info, nil
	})
}

// Zero sets the counters of the service to 0, or with the zero ServiceKey those
// of all services (ipvsadm --zero).
func (k *LinuxKernel) Zero(ctx context.Context, service ServiceKey) error {
	fill := func(e *encoder) { e.serviceKey(service) }
	if service == (ServiceKey{}) {
		fill = nil
	}
	return explain(nil, k.owner.do(ctx, func(s *sockets, _ func()) error {
		return s.conn.request(cmdZero, unix.NLM_F_ACK, fill, nil)
	}))
}

// parseDaemon reads IPVS_CMD_ATTR_DAEMON.
func parseDaemon(payload []byte) (role DaemonRole, d SyncDaemon, err error) {
	body, err := nested(payload, attrDaemon)
	if err != nil {
		return 0, SyncDaemon{}, err
	}
	var failed error
	err = eachAttr(body, func(kind uint16, v attr) {
		switch kind {
		case daemonState:
			role = DaemonRole(v.u32())
		case daemonIfn:
			d.Interface = v.text()
		case daemonID:
			d.SyncID = uint8(v.u32())
		case daemonMaxLen:
			d.MaxLen = int(v.u16())
		case daemonGroup:
			d.Group, failed = addrOf(v, IPv4)
		case daemonGroup6:
			d.Group, failed = addrOf(v, IPv6)
		case daemonPort:
			d.Port = v.u16()
		case daemonTTL:
			d.TTL = v.u8()
		}
	})
	return role, d, errors.Join(err, failed)
}

func parseInfo(payload []byte) (Info, error) {
	var info Info
	if len(payload) < nl.SizeofGenlmsg {
		return info, errMalformed
	}
	err := eachAttr(payload[nl.SizeofGenlmsg:], func(kind uint16, v attr) {
		switch kind {
		case infoVersion:
			n := v.u32()
			info.Version = fmt.Sprintf("%d.%d.%d", n>>16&0xff, n>>8&0xff, n&0xff)
		case infoConnSize:
			info.ConnTableSize = int(v.u32())
		}
	})
	return info, err
}
