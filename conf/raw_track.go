package conf

type rawSyncGroup struct {
	place
	Name  value[string]   `toml:"name" required:"\"VG_1\""`
	Group value[[]string] `toml:"group" required:"[\"VI_1\", \"VI_2\"]"`
	rawTracks
	rawNotify
}

// rawTracks are the keys of whatever tracks.
type rawTracks struct {
	TrackInterface     []rawTrack `toml:"track_interface" inherit:"none besides its own"`
	TrackScript        []rawTrack `toml:"track_script" inherit:"none"`
	TrackFile          []rawTrack `toml:"track_file" inherit:"none"`
	TrackProcess       []rawTrack `toml:"track_process" inherit:"none"`
	TrackVirtualServer []rawTrack `toml:"track_virtual_server" inherit:"none"`
}

type rawTrack struct {
	place
	Name    nodeValue[string] `toml:"name" shorthand:"true" required:"\"chk\""`
	Weight  nodeValue[int]    `toml:"weight" range:"-254…254" inherit:"that of its definition; 0 for an interface and a virtual server"`
	Reverse nodeValue[bool]   `toml:"reverse" default:"false"`
}

type rawScript struct {
	place
	Name     value[string]       `toml:"name" required:"\"chk\""`
	Script   nodeValue[command]  `toml:"script" required:"\"/usr/local/bin/check\""`
	User     nodeValue[string]   `toml:"user" inherit:"script_user of [global]"`
	Interval nodeValue[duration] `toml:"interval" default:"1s" range:"10ms…24h"`
	Timeout  nodeValue[duration] `toml:"timeout" range:"10ms…24h" inherit:"interval"`
	Rise     nodeValue[int]      `toml:"rise" default:"1" range:"1…1000"`
	Fall     nodeValue[int]      `toml:"fall" default:"1" range:"1…1000"`
	Weight   nodeValue[int]      `toml:"weight" default:"0" range:"-254…254"`
}

type rawTrackFile struct {
	place
	Name     value[string]       `toml:"name" required:"\"maintenance\""`
	File     nodeValue[string]   `toml:"file" required:"\"/run/maintenance\""`
	Interval nodeValue[duration] `toml:"interval" default:"1s" range:"10ms…24h"`
	Weight   nodeValue[int]      `toml:"weight" default:"1" range:"-254…254"`
}

type rawTrackProcess struct {
	place
	Name           value[string]       `toml:"name" required:"\"haproxy\""`
	Process        nodeValue[string]   `toml:"process" required:"\"haproxy\""`
	Args           nodeValue[[]string] `toml:"args" inherit:"any arguments"`
	Quorum         nodeValue[int]      `toml:"quorum" default:"1" range:"1…65535"`
	QuorumMax      nodeValue[int]      `toml:"quorum_max" range:"1…65535" inherit:"no limit"`
	Delay          nodeValue[duration] `toml:"delay" default:"0s" range:"0s…1h"`
	TerminateDelay nodeValue[duration] `toml:"terminate_delay" range:"0s…1h" inherit:"delay"`
	Interval       nodeValue[duration] `toml:"interval" default:"1s" range:"10ms…24h"`
	Weight         nodeValue[int]      `toml:"weight" default:"1" range:"-254…254"`
}

// rawNotify are the keys of whatever has states.
type rawNotify struct {
	NotifyMaster  *rawCommand         `toml:"notify_master" inherit:"none"`
	NotifyBackup  *rawCommand         `toml:"notify_backup" inherit:"none"`
	NotifyFault   *rawCommand         `toml:"notify_fault" inherit:"none"`
	NotifyStop    *rawCommand         `toml:"notify_stop" inherit:"none"`
	Notify        *rawCommand         `toml:"notify" inherit:"none"`
	NotifyTimeout nodeValue[duration] `toml:"notify_timeout" range:"100ms…1h" inherit:"notify_timeout of [global]"`
}

type rawCommand struct {
	place
	Script  nodeValue[command]  `toml:"script" shorthand:"true" required:"\"/usr/local/bin/notify\""`
	User    nodeValue[string]   `toml:"user" inherit:"script_user of [global]"`
	Timeout nodeValue[duration] `toml:"timeout" range:"100ms…1h" inherit:"notify_timeout of the table around it"`
}
