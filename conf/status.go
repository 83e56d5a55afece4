package conf

import (
	"fmt"
	"strconv"
	"strings"
)

// status is a range of HTTP status codes, both ends included.
type status struct{ low, high int }

// toStatuses reads 200, "200-299", or a list of such.
func toStatuses(v any) (out []status, ok bool, why string) {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	if len(list) == 0 {
		return nil, false, "the list of status codes is empty"
	}
	for _, e := range list {
		s, ok := toStatus(e)
		if !ok {
			return nil, false, fmt.Sprintf("%s is not a status code from 100 to 999 nor a range of them", kindOf(e))
		}
		out = append(out, s)
	}
	return out, true, ""
}

func toStatus(v any) (status, bool) {
	var s status
	switch v := v.(type) {
	case int64:
		if v < 100 || v > 999 {
			return s, false
		}
		s = status{int(v), int(v)}
	case string:
		low, high, isRange := strings.Cut(v, "-")
		if !isRange {
			high = low
		}
		var err1, err2 error
		s.low, err1 = strconv.Atoi(strings.TrimSpace(low))
		s.high, err2 = strconv.Atoi(strings.TrimSpace(high))
		if err1 != nil || err2 != nil {
			return s, false
		}
	default:
		return s, false
	}
	return s, s.low >= 100 && s.high <= 999 && s.low <= s.high
}
