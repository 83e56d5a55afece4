package metrics

// figure is a metric, and what it says of one T: a line, several or none.
type figure[T any] struct {
	*Family
	write func(*writer, *T)
}

// figures writes each metric for all things.
func figures[T any](w *writer, metrics []figure[T], things []T) {
	for _, f := range metrics {
		w.begin(f.Family)
		for i := range things {
			f.write(w, &things[i])
		}
	}
}

// count is a metric of services or servers, of which there are thousands: a
// whole number under labels that were rendered once for all metrics. The value
// says itself whether there is one of this T.
type count[T any] struct {
	*Family
	value func(*T) (v uint64, there bool)
}

// counts writes each metric for all things; labels are those of the i-th.
func counts[T any](w *writer, metrics []count[T], things []T, labels func(i int) []byte) {
	for _, c := range metrics {
		w.begin(c.Family)
		for i := range things {
			if v, there := c.value(&things[i]); there {
				w.number(labels(i), v)
			}
		}
	}
}
