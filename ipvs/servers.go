package ipvs

import "slices"

// Servers are the real servers of a service, one for each key, in the order of
// [ServerKey.Compare]. They are no map: for four servers a map has eight places,
// which for ten thousand servers is megabytes. Lists are shared between tables:
// Put and Delete are for whoever has made the list, or a copy of it.
type Servers []Server

// MakeServers makes a list of one that it takes over: in order, and of two with
// one key only the last.
func MakeServers(list []Server) Servers {
	slices.SortStableFunc(list, func(a, b Server) int { return a.Key.Compare(b.Key) })
	out := list[:0]
	for _, s := range list {
		if n := len(out); n > 0 && out[n-1].Key == s.Key {
			out = out[:n-1]
		}
		out = append(out, s)
	}
	return out
}

func (s Servers) find(k ServerKey) (int, bool) {
	return slices.BinarySearchFunc(s, k, func(have Server, k ServerKey) int { return have.Key.Compare(k) })
}

// Get returns the server with the key.
func (s Servers) Get(k ServerKey) (Server, bool) {
	if i, there := s.find(k); there {
		return s[i], true
	}
	return Server{}, false
}

// Put adds a server, or replaces that with its key.
func (s *Servers) Put(v Server) {
	i, there := s.find(v.Key)
	if there {
		(*s)[i] = v
		return
	}
	*s = slices.Insert(*s, i, v)
}

// Delete removes the server with the key, if it is there.
func (s *Servers) Delete(k ServerKey) {
	if i, there := s.find(k); there {
		*s = slices.Delete(*s, i, i+1)
	}
}

// canonical shares the list if it is so already, as those of the director are: a
// copy of ten thousand would cost as much as all else that is known of them. Of
// two keys that become one the first in order stays.
func (s Servers) canonical() Servers {
	if s.isCanonical() {
		return s
	}
	out := slices.Clone(s)
	slices.SortStableFunc(out, func(a, b Server) int { return b.Key.Compare(a.Key) }) // so that the first is the last
	for i, v := range out {
		out[i] = v.canonical(v.Key.canonical())
	}
	return MakeServers(out)
}

func (s Servers) isCanonical() bool {
	for i, v := range s {
		if v != v.canonical(v.Key.canonical()) || i > 0 && s[i-1].Key.Compare(v.Key) >= 0 {
			return false
		}
	}
	return true
}
