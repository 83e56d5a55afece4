package ipvs

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// read reads the whole table.
func (s *sockets) read(ctx context.Context, beat func()) (Table, error) {
	t := make(Table, s.services)
	err := s.conn.request(cmdGetService, unix.NLM_F_DUMP, nil, t.collect)
	if err != nil {
		return nil, fmt.Errorf("list services: %w", err)
	}
	s.services = len(t)
	for k, e := range t {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		beat()
		if e.Servers, err = s.conn.readServers(k); err != nil {
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
		if e.Servers, err = s.conn.readServers(k); err != nil {
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

// readServers reads the servers of a service. One that has vanished meanwhile
// answers with an empty list.
//
// These requests cannot be pipelined as operations are: a netlink socket has
// one dump at a time, and answers a second with EBUSY.
func (c *conn) readServers(k ServiceKey) (Servers, error) {
	c.servers, c.stats = c.servers[:0], c.stats[:0]
	err := c.request(cmdGetDest, unix.NLM_F_DUMP, func(e *encoder) { e.serviceKey(k) }, func(payload []byte) error {
		srv, st, err := parseServer(payload, k.AF())
		c.servers, c.stats = append(c.servers, srv), append(c.stats, st)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list servers of %s: %w", k, err)
	}
	servers, stats := slices.Clone(c.servers), slices.Clone(c.stats)
	for i := range servers {
		servers[i].Stats = &stats[i]
	}
	return MakeServers(servers), nil
}
