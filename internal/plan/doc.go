// Package plan foretells what the director would do with a configuration: the
// difference between it and the kernel as ipvsadm, ip and sysctl commands. What
// it wants is made by the same functions as the director's: pool.Next,
// settings.Plan, and Addresses, Routes and Rules here.
package plan
