// Package ipvs makes the kernel's IPVS table what it should be.
//
// Its core is pure: a [Table] is the whole of what should be, or is, in the
// kernel, and [Plan] is the shortest list of operations that leads from one to
// the other without touching services that are not ours. An [Op] prints itself
// as an ipvsadm(8) command line. The edge is small: a [Kernel] reads the table
// and applies Ops; a [Reconciler] reads, plans and applies until the kernel
// agrees, tolerating whoever else edits the table at the same time.
//
// The kernel is spoken to in two ways. A single operation on a service or a
// server, and the time-outs, go through github.com/moby/ipvs. What that lacks or
// loses goes over a socket of our own: readings (weights above 65535, tunnels,
// 64-bit counters, persistence engines), servers in tunnels that are not ipip or
// of another family, sync daemons; and many operations at once, 128 in one
// system call, where moby/ipvs waits for the answer to each.
//
// Nothing here logs. Callers learn what was done from [Result].
package ipvs
