package ipvs

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
	var p phases
	seen := make(map[ServiceKey]struct{}, len(desired))
	for _, raw := range desired.Keys() {
		k := raw.canonical()
		if _, twice := seen[k]; twice {
			continue
		}
		seen[k] = struct{}{}
		want := desired[raw]
		svc := want.Service.canonical(k)
		have, exists := observed[k]
		if !exists {
			p.create = append(p.create, Op{Kind: AddService, Service: svc})
		} else if was := have.Service.canonical(k); was != svc {
			p.edit = append(p.edit, Op{Kind: UpdateService, Service: svc, WasService: was})
		}
		p.servers(k, want, have)
	}
	for _, k := range observed.Keys() {
		if _, keep := seen[k]; !keep && owned.Has(k) {
			p.drop = append(p.drop, Op{Kind: DeleteService, Service: Service{Key: k}, WasService: observed[k].Service.canonical(k)})
		}
	}
	return p.join()
}

// Foreign returns the observed services that are neither desired nor owned.
func Foreign(desired, observed Table, owned Ownership) []ServiceKey {
	ours := owned.With(desired)
	var f []ServiceKey
	for _, k := range observed.Keys() {
		if !ours.Has(k) {
			f = append(f, k)
		}
	}
	return f
}

type phases struct {
	create, add, raise, change, edit, remove, drop []Op
}

func (p *phases) servers(k ServiceKey, want, have Entry) {
	svc := Service{Key: k}
	wanted := make(map[ServerKey]struct{}, len(want.Servers))
	for _, raw := range want.Keys() {
		sk := raw.canonical()
		if _, twice := wanted[sk]; twice {
			continue
		}
		wanted[sk] = struct{}{}
		is := want.Servers[raw].canonical(sk)
		observed, exists := have.Servers[sk]
		was := observed.canonical(sk)
		op := Op{Kind: UpdateServer, Service: svc, Server: is, WasServer: was}
		switch {
		case !exists:
			p.add = append(p.add, Op{Kind: AddServer, Service: svc, Server: is})
		case was == is:
		case is.Weight > was.Weight:
			p.raise = append(p.raise, op)
		default:
			p.change = append(p.change, op)
		}
	}
	for _, sk := range have.Keys() {
		if _, keep := wanted[sk]; !keep {
			p.remove = append(p.remove, Op{
				Kind: DeleteServer, Service: svc, Server: Server{Key: sk}, WasServer: have.Servers[sk].canonical(sk)})
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
