package ipvs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sys/unix"
)

// read reads the whole table, into the room of an earlier one where there is one: of ten
// thousand servers it is three megabytes.
func (s *sockets) read(ctx context.Context, beat func(), room Table) (Table, error) {
	t := room
	if t == nil {
		t = make(Table, len(s.keys)) // one that grows is made twice
	}
	s.keys = s.keys[:0]
	err := s.conn.request(cmdGetService, unix.NLM_F_DUMP, nil, func(payload []byte) error {
		e, err := parseService(payload)
		if err != nil {
			return err
		}
		e.Servers = t[e.Service.Key].Servers
		t[e.Service.Key] = e
		s.keys = append(s.keys, e.Service.Key)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list services: %w", err)
	}
	if len(t) != len(s.keys) { // some of room are gone
		there := make(map[ServiceKey]struct{}, len(s.keys))
		for _, k := range s.keys {
			there[k] = struct{}{}
		}
		maps.DeleteFunc(t, func(k ServiceKey, _ Entry) bool { _, stays := there[k]; return !stays })
	}
	for _, k := range s.keys {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		beat()
		e := t[k]
		if e.Servers, err = s.conn.readServers(k, e.Servers); err != nil {
			return nil, err
		}
		t[k] = e
	}
	return t, nil
}

// list reads what services there are.
func (s *sockets) list() (keys []ServiceKey, err error) {
	err = s.conn.request(cmdGetService, unix.NLM_F_DUMP, nil, func(payload []byte) error {
		e, err := parseService(payload)
		keys = append(keys, e.Service.Key)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list services: %w", err)
	}
	return keys, nil
}

// readServices reads those of the services that are there.
func (s *sockets) readServices(ctx context.Context, beat func(), keys []ServiceKey) (Table, error) {
	t := make(Table, len(keys))
	for _, k := range keys {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		beat()
		err := s.conn.request(cmdGetService, unix.NLM_F_ACK, func(e *encoder) { e.serviceKey(k) }, t.collect)
		switch {
		case errors.Is(err, unix.ESRCH):
			continue
		case err != nil:
			return nil, fmt.Errorf("read service %s: %w", k, err)
		}
		e, told := t[k]
		if !told {
			return nil, fmt.Errorf("read service %s: the kernel has acknowledged the request and not answered it", k)
		}
		if e.Servers, err = s.conn.readServers(k, nil); err != nil {
			return nil, err
		}
		t[k] = e
	}
	return t, nil
}

// collect adds a service of an answer.
func (t Table) collect(payload []byte) error {
	e, err := parseService(payload)
	if err == nil {
		t[e.Service.Key] = e
	}
	return err
}

// serverSize is what a server is in an answer, in bytes: 400 with an IPv4 address in
// Linux 6.1, 356 in 7.2.
const serverSize = 400

// readServers reads the servers of a service, into the room of a list and of its
// counters. One that has vanished meanwhile answers with an empty list.
//
// These requests cannot be pipelined as operations are: a netlink socket has
// one dump at a time, and answers a second with EBUSY.
func (c *conn) readServers(k ServiceKey, room Servers) (Servers, error) {
	c.servers, c.stats = c.servers[:0], c.stats[:0]
	c.expect(len(room) * serverSize)
	err := c.request(cmdGetDest, unix.NLM_F_DUMP, func(e *encoder) { e.serviceKey(k) }, func(payload []byte) error { return c.collect(payload, k.AF()) })
	if err != nil {
		return nil, fmt.Errorf("list servers of %s: %w", k, err)
	}
	return c.collected(room), nil
}

// collect takes one server of an answer.
func (c *conn) collect(payload []byte, f Family) error {
	srv, st, err := parseServer(payload, f)
	c.servers, c.stats = append(c.servers, srv), append(c.stats, st)
	return err
}

// collected are the servers of the answer, in the room of a list and of its counters.
func (c *conn) collected(room Servers) Servers {
	n, reused := len(c.servers), len(room)
	servers := slices.Grow(room[:0], n)[:n]
	var more []ServerStats
	for i := range servers {
		st := c.servers[i].Stats
		if i < reused {
			st = servers[i].Stats
		}
		if st == nil {
			if more == nil {
				more = make([]ServerStats, n-i)
			}
			st, more = &more[0], more[1:]
		}
		*st = c.stats[i]
		servers[i] = c.servers[i]
		servers[i].Stats = st
	}
	return MakeServers(servers)
}
