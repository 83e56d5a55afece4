package conf

import (
	"slices"
	"strings"
	"testing"
)

func TestSplitWords(t *testing.T) {
	for in, want := range map[string][]string{
		``:                          nil,
		`  /bin/a   b `:             {"/bin/a", "b"},
		`/bin/a 'b c' "d 'e'" f\ g`: {"/bin/a", "b c", "d 'e'", "f g"},
		`/bin/a '' ""`:              {"/bin/a", "", ""},
		`/bin/a b'c d'e`:            {"/bin/a", "bc de"},
		`/bin/a '\' "\"" \\`:        {"/bin/a", `\`, `"`, `\`},
		`/bin/a '|' "&&" \;`:        {"/bin/a", "|", "&&", ";"},
	} {
		if got, why := splitWords(in); why != "" || !slices.Equal(got, want) {
			t.Errorf("%s gives %q %s, want %q", in, got, why, want)
		}
	}
	for _, in := range []string{`/bin/a | b`, `/bin/a; b`, `/bin/a $HOME`, `/bin/a 2>&1`, `/bin/a 'b`, `/bin/a "b`, `/bin/a b\`} {
		if got, why := splitWords(in); why == "" {
			t.Errorf("%s gives %q, and needs a shell or a quote", in, got)
		}
	}
}

// FuzzSplitWords: what is split can be written again in quotes, and is then
// the same.
func FuzzSplitWords(f *testing.F) {
	f.Add(`/bin/a 'b c' "d 'e'" f\ g ''`)
	f.Fuzz(func(t *testing.T, s string) {
		words, why := splitWords(s)
		if why != "" {
			return
		}
		quoted := make([]string, len(words))
		for i, w := range words {
			quoted[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
		again, why := splitWords(strings.Join(quoted, " "))
		if why != "" || !slices.Equal(words, again) {
			t.Errorf("%q gives %q, and then %q %s", s, words, again, why)
		}
	})
}
