// Package ipvs makes the kernel's IPVS table what it should be.
//
// Its core is pure: a [Table] is the whole of what should be, or is, in the
// kernel, and [Plan] is the shortest list of operations that leads from one to
// the other without touching services that are not ours. An [Op] prints itself
// as an ipvsadm(8) command line. The edge is small: a [Kernel] reads the table
// and applies one Op; a [Reconciler] reads, plans and applies until the kernel
// agrees, tolerating whoever else edits the table at the same time.
//
// Nothing here logs. Callers learn what was done from [Result].
package ipvs
