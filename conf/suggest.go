package conf

import "strings"

// nearest returns the candidate that word was most likely meant to be, "" if
// none is near enough to be worth saying: the same but for a few letters, or a
// part of the other.
func nearest(word string, candidates []string) string {
	w := strings.ToLower(word)
	best, bestDistance := "", len(w)/3+2
	for _, c := range candidates {
		if d := distance(w, strings.ToLower(c), bestDistance); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	if best != "" || len(w) < 4 {
		return best
	}
	for _, c := range candidates {
		l := strings.ToLower(c)
		if (strings.Contains(l, w) || len(l) >= 4 && strings.Contains(w, l)) && (best == "" || len(c) < len(best)) {
			best = c
		}
	}
	return best
}

// distance is the number of insertions, deletions, replacements and swaps of
// neighbours that turn a into b, or limit if it is not less than that.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit || len(a) > 64 || len(b) > 64 {
		return limit
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return min(last[len(b)], limit)
}
