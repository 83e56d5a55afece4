package lab

import (
	"context"
	"fmt"
	"io"
	"time"
)

// Status is a lab as it stands, for `baton lab status`.
type Status struct {
	Name   string       `json:"name"`
	Dir    string       `json:"dir"`
	Mode   Topology     `json:"mode"`
	Phase  string       `json:"phase"`
	Since  time.Time    `json:"since"`
	Config string       `json:"config"`
	Nodes  []NodeStatus `json:"nodes"`
}

// NodeStatus is one node of a lab.
type NodeStatus struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	Address   string `json:"address,omitempty"`
	Present   bool   `json:"present"`
	Carrier   bool   `json:"carrier"`
	VIP       bool   `json:"vip"` // the VIP stands on its LAN interface
	PID       int    `json:"pid,omitempty"`
	State     string `json:"state,omitempty"` // of the director's instance, or the real server's mode
	Log       string `json:"log,omitempty"`
}

// Status looks at every node. What cannot be found out is left empty.
func (l *Lab) Status(ctx context.Context) Status {
	s := Status{Name: l.Name(), Dir: l.Dir(), Mode: l.Topology(), Phase: l.state.Phase, Since: l.state.Created, Config: l.ConfigFile()}
	present := map[string]bool{}
	for _, n := range presentNamespaces(l.Name()) {
		present[n] = true
	}
	for _, n := range l.Topology().layout().nodes {
		ns := NodeStatus{Name: n.name, Namespace: l.Namespace(n.name), Present: present[n.name], PID: l.PID(n.name)}
		if len(n.legs) > 0 {
			ns.Address = n.legs[0].address.String()
		}
		if ns.Present && n.name != SwitchNode {
			ns.Carrier, _ = l.Carrier(n.name)
			ns.VIP, _ = l.HoldsVIP(n.name)
		}
		if p, ok := l.process(n.name); ok {
			ns.Log = p.Log
			ns.State = l.nodeState(ctx, n.name)
		}
		s.Nodes = append(s.Nodes, ns)
	}
	return s
}

func (l *Lab) nodeState(ctx context.Context, node string) string {
	if l.PID(node) == 0 {
		return "ended"
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if isServer(node) {
		m, err := l.ServerMode(ctx, node)
		if err != nil {
			return "silent"
		}
		return string(m)
	}
	st, err := l.DirectorStatus(ctx, node)
	if err != nil {
		return "silent"
	}
	state := ""
	for i, inst := range st.Instances {
		if i > 0 {
			state += " "
		}
		state += inst.State
	}
	return state
}

// Write prints the status as a table.
func (s Status) Write(w io.Writer) error {
	t := fmt.Sprintf("lab %s, mode %s, is %s since %s\ndirectory %s, configuration %s\n\n%-8s %-18s %-20s %-8s %-4s %-8s %s\n",
		s.Name, s.Mode, s.Phase, s.Since.Format(time.DateTime), s.Dir, s.Config,
		"NODE", "NAMESPACE", "ADDRESS", "CARRIER", "VIP", "PID", "STATE")
	for _, n := range s.Nodes {
		carrier, vip, pid := "-", "", ""
		if n.Name != SwitchNode {
			carrier = map[bool]string{true: "yes", false: "no"}[n.Carrier]
		}
		if n.VIP {
			vip = "yes"
		}
		if n.PID > 0 {
			pid = fmt.Sprint(n.PID)
		}
		state := n.State
		if !n.Present {
			state = "namespace is gone"
		}
		t += fmt.Sprintf("%-8s %-18s %-20s %-8s %-4s %-8s %s\n", n.Name, n.Namespace, n.Address, carrier, vip, pid, state)
	}
	if _, err := io.WriteString(w, t); err != nil {
		return fmt.Errorf("write lab status: %w", err)
	}
	return nil
}
