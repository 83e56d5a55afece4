package metrics

// Type is a metric's type in the text format.
type Type string

// The types that Baton has.
const (
	Counter   Type = "counter"
	Gauge     Type = "gauge"
	Histogram Type = "histogram"
)

// Family is a metric: one name with all its labels' values.
type Family struct {
	Name   string
	Type   Type
	Labels []string
	Help   string
}

// families are all metrics.
var families []*Family

// Families returns every metric that a scrape can hold. docs/metrics.md
// explains each: a test compares.
func Families() []*Family { return families }

func family(t Type, name, help string, labels ...string) *Family {
	f := &Family{Name: name, Type: t, Labels: labels, Help: help}
	families = append(families, f)
	return f
}

func gauge(name, help string, labels ...string) *Family { return family(Gauge, name, help, labels...) }
func counter(name, help string, labels ...string) *Family {
	return family(Counter, name, help, labels...)
}
func histogram(name, help string, labels ...string) *Family {
	return family(Histogram, name, help, labels...)
}
