package ipvs_test

import (
	"cmp"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"baton/ipvs"
)

// TestServersAreAMap: whatever is put and deleted, in whatever order, the list has
// what a map would have, in order.
func TestServersAreAMap(t *testing.T) {
	key := ipvs.FWMarkKey(1, ipvs.IPv4) // whose servers have any port
	rapid.Check(t, func(t *rapid.T) {
		begin := rapid.SliceOfN(genServer(key), 0, 6).Draw(t, "begin")
		want := map[ipvs.ServerKey]ipvs.Server{}
		for _, s := range begin {
			want[s.Key] = s
		}
		have := ipvs.MakeServers(slices.Clone(begin))
		check := func() {
			sorted := slices.SortedFunc(maps.Values(want), func(a, b ipvs.Server) int {
				return cmp.Or(a.Key.Address.Compare(b.Key.Address), cmp.Compare(a.Key.Port, b.Key.Port))
			})
			if !slices.Equal(have, sorted) {
				t.Fatalf("the list is\n%v, want\n%v", have, sorted)
			}
		}
		check()
		for range rapid.IntRange(0, 8).Draw(t, "steps") {
			s := genServer(key).Draw(t, "server")
			was, wanted := want[s.Key]
			if got, there := have.Get(s.Key); got != was || there != wanted {
				t.Fatalf("at %s is %v, %v", s.Key, got, there)
			}
			if rapid.Bool().Draw(t, "put") {
				have.Put(s)
				want[s.Key] = s
			} else {
				have.Delete(s.Key)
				delete(want, s.Key)
			}
			check()
		}
	})
}
