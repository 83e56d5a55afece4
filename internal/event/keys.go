package event

// The fields. An event uses those that its entry in the catalogue lists, in
// that order.
const (
	Instance  Key = "instance"
	Group     Key = "group"
	VRID      Key = "vrid"
	Interface Key = "interface"
	Service   Key = "service"
	Server    Key = "server"
	Check     Key = "check"
	Track     Key = "track"
	Child     Key = "child"
	PID       Key = "pid"
	From      Key = "from"
	To        Key = "to"
	Reason    Key = "reason"
	Peer      Key = "peer"
	Priority  Key = "priority"
	Address   Key = "address"
	Route     Key = "route"
	MAC       Key = "mac"
	Command   Key = "command"
	Added     Key = "added"
	Changed   Key = "changed"
	Deleted   Key = "deleted"
	Count     Key = "count"
	Took      Key = "took"
	File      Key = "file"
	Version   Key = "version"
	Err       Key = "error"
	Detail    Key = "detail"
)
