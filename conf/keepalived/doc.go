// Package keepalived reads keepalived's configuration and writes it as Baton's.
//
// What both have the same word for is taken over, and where their defaults differ the
// result says keepalived's. What Baton has no counterpart for, or does otherwise, is a
// [Doubt]: nothing that the file says is left out without one, but for words that have no
// effect (see silent).
package keepalived
