package plan

import (
	"slices"

	"baton/conf"
	"baton/internal/control"
)

// renamed are the director's services under the names that they have in cfg: the
// director goes on with a pool that is only called otherwise.
func renamed(services []control.Service, cfg *conf.Config) []control.Service {
	out := slices.Clone(services)
	free := map[string]*control.Service{} // by the IPVS services that they have
	named := map[string]bool{}
	for _, vs := range cfg.Services {
		named[vs.Name] = true
	}
	there := map[string]bool{}
	for i := range out {
		s := &out[i]
		if there[s.Name] = true; named[s.Name] || s.Leaving {
			continue
		}
		for _, k := range append(slices.Clone(s.Keys), s.Name) {
			free[k] = s
		}
	}
	for _, vs := range cfg.Services {
		for _, k := range vs.Keys {
			if s := free[k.String()]; s != nil && !there[vs.Name] && !named[s.Name] {
				s.Name = vs.Name
				break
			}
		}
	}
	return out
}
