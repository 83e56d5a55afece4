package doctor

import (
	"fmt"
	"slices"

	"baton/conf"
	"baton/ipvs"
)

const moduleIPVS = "ip_vs"

// modules are those that the configuration needs, ip_vs first.
func modules(cfg *conf.Config) []string {
	var out []string
	for _, vs := range cfg.Services {
		out = append(out, "ip_vs_"+vs.Service.Scheduler)
		if pe := vs.Service.PersistenceEngine; pe != "" {
			out = append(out, "ip_vs_pe_"+pe)
		}
	}
	if needsConntrack(cfg) {
		out = append(out, "nf_conntrack")
	}
	slices.Sort(out)
	return append([]string{moduleIPVS}, slices.Compact(out)...)
}

// needsConntrack: NAT whose connections the firewall shall know.
func needsConntrack(cfg *conf.Config) bool {
	return forwards(cfg, ipvs.NAT) && slices.Contains(cfg.IPVS.Sysctls, conf.Sysctl{Name: "conntrack", Value: "1"})
}

// forwards says whether a server is reached so.
func forwards(cfg *conf.Config, by ipvs.Forward) bool {
	return slices.ContainsFunc(cfg.Services, func(vs conf.VirtualServer) bool {
		return slices.ContainsFunc(vs.Servers, func(rs conf.RealServer) bool { return rs.Server.Forward == by })
	})
}

func (e *examination) kernel() {
	k := e.f.Kernel
	if k.NoIPVS {
		f := Finding{ID: "kernel.ip_vs", Severity: Critical, What: "the kernel has no IPVS",
			Consequence: "baton run refuses to start: nothing can be balanced"}
		switch k.Modules[moduleIPVS] {
		case Missing:
			f.Consequence += fmt.Sprintf("; kernel %s was installed without the module ip_vs", k.Release)
			f.Mend = e.kernelPackage()
		case Unlisted:
			f = module(f, moduleIPVS)
			f.On = "the host of this container"
			f.Fix = nil
		default:
			f = module(f, moduleIPVS)
		}
		e.add(e.loading(f))
	} else {
		e.ok("kernel.ip_vs", "the kernel has IPVS")
	}
	for _, m := range modules(e.cfg)[1:] {
		id := "kernel.module"
		f := Finding{ID: id, Severity: Critical, What: "module " + m + " is missing",
			Consequence: "the kernel refuses the services that name it"}
		switch k.Modules[m] {
		case Missing:
			f.Mend = e.kernelPackage()
			e.add(f)
		case Unlisted:
			f = module(f, m)
			f.Severity, f.What = Warning, "module "+m+" is not loaded, and this file system has no modules of kernel "+k.Release
			f.Consequence = "unless the host loads it, the kernel refuses the services that name it"
			f.On, f.Fix = "the host of this container", nil
			e.add(f)
		case Loadable:
			if k.NoLoading {
				f.What = "module " + m + " is not loaded"
				e.add(e.loading(module(f, m)))
				continue
			}
			e.ok(id, "module "+m+" is there, and loaded when it is first needed")
		default:
			e.ok(id, "module "+m+" is loaded")
		}
	}
}

// loading: where the kernel takes no more modules, only a reboot mends.
func (e *examination) loading(f Finding) Finding {
	if e.f.Kernel.NoLoading && f.Fix != nil {
		f.Consequence += "; kernel.modules_disabled is 1, so it can be loaded at boot only"
		f.Mend, f.Persist, f.Fix = f.Persist+" && reboot", "", nil
	}
	return f
}
