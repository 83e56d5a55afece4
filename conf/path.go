package conf

import (
	"strconv"
	"strings"
)

// join appends a key to a path. A key that is not bare is quoted, so that a
// dot inside it cannot be taken for a separator.
func join(path, key string) string {
	if !bare(key) {
		key = strconv.Quote(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// element appends an array index to a path.
func element(path string, i int) string {
	return path + "[" + strconv.Itoa(i) + "]"
}

func bare(key string) bool {
	for i := range len(key) {
		c := key[i]
		ok := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
		if !ok {
			return false
		}
	}
	return key != ""
}

// parent cuts the last key or index off a path; "" is the parent of a single
// key.
func parent(path string) string {
	if strings.HasSuffix(path, "]") {
		return path[:strings.LastIndexByte(path, '[')]
	}
	if strings.HasSuffix(path, `"`) {
		i := len(path) - 1
		for i > 0 {
			i--
			if path[i] == '"' && (i == 0 || path[i-1] == '.') && !escaped(path, i) {
				break
			}
		}
		return path[:max(i-1, 0)]
	}
	return path[:max(strings.LastIndexByte(path, '.'), 0)]
}

// escaped reports whether the byte is preceded by an odd run of backslashes.
func escaped(s string, i int) bool {
	n := 0
	for i--; i >= 0 && s[i] == '\\'; i-- {
		n++
	}
	return n%2 == 1
}

// depth counts the keys and indexes of a path, roughly: dots inside quoted
// keys count as well, which only makes the bound stricter.
func depth(path string) int {
	if path == "" {
		return 0
	}
	return 1 + strings.Count(path, ".") + strings.Count(path, "[")
}
