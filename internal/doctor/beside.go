package doctor

import (
	"fmt"
	"slices"
	"strings"
)

// meddlers are programs that program IPVS or hold virtual addresses, by the
// name in /proc/PID/comm, with what comes of it.
var meddlers = map[string]string{
	"keepalived": "it programs the same table and may hold the same addresses",
	"ldirectord": "it programs the same table",
	kubeProxy:    "in ipvs mode, whose kube-ipvs0 is here, it removes services that are not its own",
	"ucarp":      "it may hold the same addresses",
	"vrrpd":      "it may hold the same addresses",
	"heartbeat":  "it may hold the same addresses",
}

const (
	kubeProxy = "kube-proxy"
	// kubeDevice is where kube-proxy has its addresses in ipvs mode, and in no other
	// mode. On most clusters it has another one, and leaves IPVS alone.
	kubeDevice = "kube-ipvs0"
)

func (e *examination) others() {
	meddling := 0
	for _, p := range e.f.Others {
		if p.Name == kubeProxy && !e.f.KubeIPVS {
			e.ok("beside.program", fmt.Sprintf("kube-proxy runs here with pid %d, not in ipvs mode: there is no %s", p.PID, kubeDevice))
			continue
		}
		meddling++
		mend := "systemctl disable --now " + p.Name
		if p.Name == kubeProxy {
			mend = "kubectl -n kube-system edit configmap kube-proxy"
		}
		e.add(Finding{ID: "beside.program", Severity: Warning, What: fmt.Sprintf("%s runs here with pid %d", p.Name, p.PID),
			Consequence: "it and baton undo one another's work: " + meddlers[p.Name], Mend: mend})
	}
	if meddling == 0 {
		e.ok("beside.program", "no other program that manages IPVS or virtual addresses runs here")
	}
	foreign := e.f.Foreign
	if e.f.Status != nil {
		foreign = e.f.Status.Foreign
	}
	if len(foreign) > 0 {
		some := foreign[:min(len(foreign), 3)]
		what := fmt.Sprintf("%d services in IPVS are of somebody else: %s", len(foreign), strings.Join(some, ", "))
		if len(foreign) > len(some) {
			what += ", …"
		}
		if clash := e.clash(foreign); clash != "" {
			e.add(Finding{ID: "beside.service", Severity: Warning, What: what,
				Consequence: clash + " is on a virtual address of this configuration; baton never touches what it has not made",
				Mend:        "ipvsadm -D " + deleteFlags(clash)})
			return
		}
		e.ok("beside.service", what+"; baton leaves them alone")
	}
}

// clash is a foreign service on one of our addresses.
func (e *examination) clash(foreign []string) string {
	for _, s := range foreign {
		for _, i := range e.cfg.Instances {
			for _, a := range i.All() {
				addr := a.Prefix.Addr().String()
				if strings.Contains(s, " "+addr+":") || strings.Contains(s, " ["+addr+"]:") {
					return s
				}
			}
		}
	}
	return ""
}

// deleteFlags name a service for ipvsadm(8).
func deleteFlags(service string) string {
	word := strings.Fields(service)
	flag, known := map[string]string{"tcp": "-t", "udp": "-u", "sctp": "--sctp-service"}[word[0]]
	if !known || len(word) < 2 {
		return "-f " + strings.Join(word[1:], " ")
	}
	return flag + " " + word[1]
}

// director judges what the running director says of itself.
func (e *examination) director() {
	st := e.f.Status
	switch {
	case e.f.StatusErr != "":
		e.add(Finding{ID: "director.running", Severity: Critical, What: "the director does not answer: " + e.f.StatusErr,
			Consequence: "it cannot be asked, and perhaps does not work", Mend: "systemctl status baton"})
		return
	case st == nil:
		e.ok("director.running", "no director runs here; what it would say is left out")
		return
	}
	e.ok("director.running", fmt.Sprintf("the director runs with pid %d", st.PID))
	for _, c := range st.Children {
		if c.PID == 0 {
			e.add(Finding{ID: "director.child", Severity: Critical, What: fmt.Sprintf("the %s does not run", c.Name),
				Consequence: map[string]string{"speaker": "this node takes no part in elections", "prober": "no health check is made, the last verdicts stand"}[c.Name],
				Mend:        "baton events --since 10m"})
		}
	}
	if !st.Config.LastReload.IsZero() && !st.Config.LastOK {
		e.add(Finding{ID: "director.reload", Severity: Warning, What: "the last reload was refused", Consequence: "the file and what is in force differ; the next start may fail",
			Mend: "baton check -c " + st.Config.File})
	}
	if st.Config.Hash != "" && st.Config.Hash != e.cfg.Hash && st.Config.File == e.cfg.File && st.Config.LastOK {
		e.add(Finding{ID: "director.reload", Severity: Warning, What: e.cfg.File + " has changed since the director read it",
			Consequence: "the file and what is in force differ", Mend: "baton plan && baton reload"})
	}
	for _, i := range st.Instances {
		if i.State == "FAULT" {
			e.add(Finding{ID: "director.fault", Severity: Critical, What: fmt.Sprintf("%s is in FAULT: %s", i.Name, i.Reason),
				Consequence: "this node cannot become master", Mend: "baton explain " + i.Name})
		}
	}
	e.paths()
}

// paths are the director's own path checks.
func (e *examination) paths() {
	for _, vs := range e.f.Status.Services {
		for _, s := range vs.Servers {
			if s.Path == nil || s.Path.State != "broken" {
				continue
			}
			host := s.Address
			if i := strings.LastIndexByte(host, ':'); i > 0 {
				host = strings.Trim(host[:i], "[]")
			}
			f := Finding{ID: "director.path", Severity: Critical, What: fmt.Sprintf("real server %s of %s: %s", s.Address, vs.Name, s.Path.Reason),
				Consequence: s.Path.Detail, Mend: s.Path.Mend, On: host}
			if strings.HasPrefix(f.Mend, "ip route get") {
				f.On = "" // that one is for the director
			}
			e.add(f)
		}
	}
	if !slices.ContainsFunc(e.out, func(f Finding) bool { return f.ID == "director.path" }) {
		e.ok("director.path", "no real server of DR or TUN is known not to do its part")
	}
}
