package ipvs

import "slices"

// Plan returns the operations that make observed agree with desired, in the
// order in which they must be applied:
//
//  1. create services,
//  2. add servers, then update servers, those that gain weight first,
//  3. update services,
//  4. delete servers,
//  5. delete services,
//
// each sorted by key. So a service that has a usable server before and after
// has one at every moment between: what comes in comes before what goes out.
//
// A desired service that is observed is adopted whole; its undesired servers
// go. An observed service that is not desired is deleted if owned, else it is
// foreign and left alone. Plan is pure and total; services are taken under
// their key in the table, whatever Key they contain.
func Plan(desired, observed Table, owned Ownership) []Op {
	return plan(desired.canonical(), observed, owned)
}

// plan is Plan for a desired table that is canonical already. Only what
// differs is sorted: in a large table that is little.
func plan(desired, observed Table, owned Ownership) []Op {
	var differ, undesired []ServiceKey
	create, add := 0, 0
	for k, want := range desired {
		have, exists := observed[k]
		switch {
		case !exists:
			create, add = create+1, add+len(want.Servers)
		case have.Service.canonical(k) != want.Service || !sameServers(want, have):
		default:
			continue
		}
		differ = append(differ, k)
	}
	for k := range observed {
		if _, wanted := desired[k]; !wanted && owned.Has(k) {
			undesired = append(undesired, k)
		}
	}
	slices.SortFunc(differ, ServiceKey.Compare)
	slices.SortFunc(undesired, ServiceKey.Compare)
	// On an empty table these are all, and ten thousand of them are worth no copy.
	p := phases{ops: make([]Op, 0, create+add)}
	for _, k := range differ {
		if _, exists := observed[k]; !exists {
			p.ops = append(p.ops, Op{Kind: AddService, Service: desired[k].Service})
		}
	}
	for _, k := range differ {
		want := desired[k]
		have, exists := observed[k]
		if was := have.Service.canonical(k); exists && was != want.Service {
			p.edit = append(p.edit, Op{Kind: UpdateService, Service: want.Service, WasService: &was})
		}
		p.servers(k, want, have)
	}
	for _, k := range undesired {
		was := observed[k].Service.canonical(k)
		p.drop = append(p.drop, Op{Kind: DeleteService, Service: Service{Key: k}, WasService: &was})
	}
	for _, more := range [...][]Op{p.raise, p.change, p.edit, p.remove, p.drop} {
		p.ops = append(p.ops, more...)
	}
	if len(p.ops) == 0 {
		return nil
	}
	return p.ops
}

// phases are operations in the order in which they are applied.
type phases struct {
	ops                               []Op // what creates services, then what adds servers
	raise, change, edit, remove, drop []Op
}

// sameServers says whether there is no difference. want is canonical.
func sameServers(want, have Entry) bool {
	return slices.EqualFunc(want.Servers, have.Servers, func(want, have Server) bool { return have.canonical(have.Key) == want })
}

// servers adds what differs between two lists, which both are in order. Most servers
// are the same in both, and cost nothing but the comparison.
func (p *phases) servers(k ServiceKey, want, have Entry) {
	svc, rest := Service{Key: k}, have.Servers
	for i := range want.Servers {
		is := &want.Servers[i]
		for len(rest) > 0 && rest[0].Key.Compare(is.Key) < 0 {
			rest = p.unwanted(svc, rest)
		}
		if len(rest) == 0 || rest[0].Key != is.Key {
			p.ops = append(p.ops, Op{Kind: AddServer, Service: svc, Server: *is})
			continue
		}
		if rest[0].canonical(is.Key) != *is {
			p.differs(svc, is, rest[0].canonical(is.Key))
		}
		rest = rest[1:]
	}
	for len(rest) > 0 {
		rest = p.unwanted(svc, rest)
	}
}

func (p *phases) differs(svc Service, is *Server, was Server) {
	op := Op{Kind: UpdateServer, Service: svc, Server: *is, WasServer: &was}
	if is.Weight > was.Weight {
		p.raise = append(p.raise, op)
	} else {
		p.change = append(p.change, op)
	}
}

// unwanted removes the first of the servers, and returns the others.
func (p *phases) unwanted(svc Service, servers Servers) Servers {
	was := servers[0].canonical(servers[0].Key)
	p.remove = append(p.remove, Op{Kind: DeleteServer, Service: svc, Server: Server{Key: was.Key}, WasServer: &was})
	return servers[1:]
}
