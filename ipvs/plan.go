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
// foreign and left alone. Plan is pure and total; entries are taken under
// their map key, whatever Key they contain.
func Plan(desired, observed Table, owned Ownership) []Op {
	return plan(desired.canonical(), observed, owned)
}

// plan is Plan for a desired table that is canonical already. Only what
// differs is sorted: in a large table that is little.
func plan(desired, observed Table, owned Ownership) []Op {
	var differ, undesired []ServiceKey
	for k, want := range desired {
		if have, exists := observed[k]; !exists || have.Service.canonical(k) != want.Service || !sameServers(want, have) {
			differ = append(differ, k)
		}
	}
	for k := range observed {
		if _, wanted := desired[k]; !wanted && owned.Has(k) {
			undesired = append(undesired, k)
		}
	}
	slices.SortFunc(differ, ServiceKey.Compare)
	slices.SortFunc(undesired, ServiceKey.Compare)
	var p phases
	for _, k := range differ {
		want := desired[k]
		have, exists := observed[k]
		if !exists {
			p.create = append(p.create, Op{Kind: AddService, Service: want.Service})
		} else if was := have.Service.canonical(k); was != want.Service {
			p.edit = append(p.edit, Op{Kind: UpdateService, Service: want.Service, WasService: &was})
		}
		p.servers(k, want, have)
	}
	for _, k := range undesired {
		was := observed[k].Service.canonical(k)
		p.drop = append(p.drop, Op{Kind: DeleteService, Service: Service{Key: k}, WasService: &was})
	}
	return p.join()
}

type phases struct {
	create, add, raise, change, edit, remove, drop []Op
}

// sameServers says whether there is no difference. want is canonical.
func sameServers(want, have Entry) bool {
	if len(want.Servers) != len(have.Servers) {
		return false
	}
	for k, s := range want.Servers {
		if observed, exists := have.Servers[k]; !exists || observed.canonical(k) != s {
			return false
		}
	}
	return true
}

func (p *phases) servers(k ServiceKey, want, have Entry) {
	svc := Service{Key: k}
	for _, sk := range want.Keys() {
		is := want.Servers[sk]
		observed, exists := have.Servers[sk]
		if !exists {
			p.add = append(p.add, Op{Kind: AddServer, Service: svc, Server: is})
			continue
		}
		was := observed.canonical(sk)
		op := Op{Kind: UpdateServer, Service: svc, Server: is, WasServer: &was}
		switch {
		case was == is:
		case is.Weight > was.Weight:
			p.raise = append(p.raise, op)
		default:
			p.change = append(p.change, op)
		}
	}
	for _, sk := range have.Keys() {
		if _, wanted := want.Servers[sk]; !wanted {
			was := have.Servers[sk].canonical(sk)
			p.remove = append(p.remove, Op{Kind: DeleteServer, Service: svc, Server: Server{Key: sk}, WasServer: &was})
		}
	}
}

func (p *phases) join() []Op {
	parts := [...][]Op{p.create, p.add, p.raise, p.change, p.edit, p.remove, p.drop}
	n := 0
	for _, part := range parts {
		n += len(part)
	}
	if n == 0 {
		return nil
	}
	ops := make([]Op, 0, n)
	for _, part := range parts {
		ops = append(ops, part...)
	}
	return ops
}
