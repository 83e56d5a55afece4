package conf

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// duration is a span of time: a text such as "250ms", or a number of seconds
// where keepalived has one.
type duration time.Duration

func (d duration) std() time.Duration { return time.Duration(d) }
func (d duration) String() string     { return format(d.std()) }

// format writes a duration as the configuration would: 1m0s becomes 1m.
func format(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// maxSeconds keeps seconds representable as nanoseconds in 64 bits.
const maxSeconds = float64(math.MaxInt64/int64(time.Second) - 1)

// command is a program with its arguments.
type command []string

// texts is one text or a list of them.
type texts []string

// numbers is one whole number or a list of them.
type numbers []int

// toggle is a switch of the kernel's: true or false, or the 1 or 0 that sysctl has.
type toggle bool

// secret is a text that no message repeats.
type secret string

// header is one HTTP request header.
type header struct{ name, value string }

// describe names a type for whoever wrote something else.
func describe[T any]() string {
	switch any(*new(T)).(type) {
	case bool:
		return "true or false"
	case int:
		return "a whole number"
	case duration:
		return "a duration"
	case netip.Addr:
		return "an IP address"
	case []string:
		return "a list of texts"
	case texts:
		return "a text or a list of texts"
	case numbers:
		return "a whole number or a list of them"
	case toggle:
		return "true or false"
	case []netip.Addr:
		return "a list of addresses"
	case command:
		return "a command"
	case []status:
		return "a status code or a list of them"
	case []header:
		return "a table of texts"
	}
	return "a text"
}

// example shows how a T is written.
func example[T any]() string {
	switch any(*new(T)).(type) {
	case bool:
		return "write true or false, without quotes"
	case int:
		return "write a number without quotes and without a fraction"
	case duration:
		return `write "1s" or "250ms", or a number of seconds`
	case netip.Addr:
		return `write an address such as "192.168.16.102"`
	case []string:
		return `write ["one", "two"]`
	case texts:
		return `write "one" or ["one", "two"]`
	case numbers:
		return "write 1 or [1, 2]"
	case toggle:
		return "write true or false, or 1 or 0"
	case []netip.Addr:
		return `write ["192.168.16.112"]`
	case command:
		return `write "/usr/local/bin/script argument", or a list of program and arguments`
	case []status:
		return `write 200, "200-299" or [200, "300-399"]`
	case []header:
		return `write { Name = "value" }`
	}
	return `write "text" in quotes`
}

// holdsTable says whether a T is itself written as a table.
func holdsTable[T any]() bool {
	_, ok := any(*new(T)).([]header)
	return ok
}

// kindOf names what the file has.
func kindOf(v any) string {
	switch v := v.(type) {
	case string:
		return "the text " + strconv.Quote(clip(v))
	case bool:
		return strconv.FormatBool(v)
	case int64:
		return "the number " + strconv.FormatInt(v, 10)
	case float64:
		return "the number " + strconv.FormatFloat(v, 'g', -1, 64)
	case map[string]any:
		return "a table"
	case []any, []map[string]any:
		return "a list"
	}
	return "a date or time"
}

// clip keeps a message a line long, whatever the file holds.
func clip(s string) string { return clipTo(s, 60) }

func clipTo(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}

// convert turns what the TOML decoder made into a T, or reports why it cannot.
func convert[T any](d *decoder, path string, v any) (T, bool) {
	var out T
	ok, why := false, ""
	switch p := any(&out).(type) {
	case *string:
		*p, ok = v.(string)
	case *bool:
		*p, ok = v.(bool)
	case *int:
		var n int64
		n, ok = v.(int64)
		*p = int(n)
	case *duration:
		var span time.Duration
		span, ok, why = toDuration(v)
		*p = duration(span)
	case *netip.Addr:
		var s string
		if s, ok = v.(string); ok {
			a, err := netip.ParseAddr(s)
			if err != nil || a.Zone() != "" {
				ok, why = false, strconv.Quote(clip(s))+" is not an IP address"
			}
			*p = a.Unmap()
		}
	case *[]status:
		*p, ok, why = toStatuses(v)
	case *secret:
		var s string
		if s, ok = v.(string); !ok {
			why = "expected a text"
		}
		*p = secret(s)
	case *command:
		var good bool
		*p, ok, good = toCommand(d, path, v)
		if ok && !good {
			return out, false
		}
	case *[]string:
		var list []any
		if list, ok = v.([]any); ok {
			var good bool
			if *p, good = each[string](d, path, list); !good {
				return out, false
			}
		}
	case *texts:
		var list []any
		if _, one := v.(string); one {
			var s string
			s, ok = convert[string](d, path, v)
			*p = texts{s}
		} else if list, ok = v.([]any); ok {
			var good bool
			if *p, good = each[string](d, path, list); !good {
				return out, false
			}
		}
	case *numbers:
		var list []any
		if n, one := v.(int64); one {
			*p, ok = numbers{int(n)}, true
		} else if list, ok = v.([]any); ok {
			var good bool
			if *p, good = each[int](d, path, list); !good {
				return out, false
			}
		}
	case *toggle:
		switch v {
		case true, int64(1):
			*p, ok = true, true
		case false, int64(0):
			ok = true
		}
	case *[]netip.Addr:
		var list []any
		if list, ok = v.([]any); ok {
			var good bool
			if *p, good = each[netip.Addr](d, path, list); !good {
				return out, false
			}
		}
	case *[]header:
		var m map[string]any
		if m, ok = v.(map[string]any); ok {
			d.index.filled() // headers go out as they stand in the file
			for _, name := range d.ordered(path, m) {
				s, good := convert[string](d, join(path, name), m[name])
				*p = append(*p, header{name, s})
				if !good {
					return out, false
				}
			}
		}
	default:
		panic(fmt.Sprintf("no conversion to %T", out))
	}
	if !ok {
		if why == "" {
			why = "expected " + describe[T]() + ", found " + kindOf(v)
		}
		d.errorf(path, "%s", why).remedy("%s", example[T]())
	}
	return out, ok
}

// written takes the index off the path of an element that was written without
// the brackets of a list.
func (d *decoder) written(path string) string {
	if strings.HasSuffix(path, "]") && !d.index.has(path) {
		if list := path[:strings.LastIndexByte(path, '[')]; d.index.has(list) {
			return list
		}
	}
	return path
}

// each converts the elements of a list; one that is empty is not nil.
func each[T any](d *decoder, path string, list []any) ([]T, bool) {
	out := make([]T, 0, len(list))
	ok := true
	for i, e := range list {
		v, good := convert[T](d, element(path, i), e)
		out, ok = append(out, v), ok && good
	}
	return out, ok
}

// toDuration reads seconds or a text with units. Where it cannot, why may say
// more than that the type is wrong.
func toDuration(v any) (d time.Duration, ok bool, why string) {
	switch v := v.(type) {
	case int64:
		if math.Abs(float64(v)) > maxSeconds {
			return 0, false, kindOf(v) + " is too many seconds"
		}
		return time.Duration(v) * time.Second, true, ""
	case float64:
		if math.IsNaN(v) || math.Abs(v) > maxSeconds {
			return 0, false, kindOf(v) + " is too many seconds"
		}
		return time.Duration(math.Round(v * float64(time.Second))), true, ""
	case string:
		d, err := time.ParseDuration(v)
		if err != nil {
			return 0, false, strconv.Quote(clip(v)) + " is not a duration"
		}
		return d, true, ""
	}
	return 0, false, ""
}
