package conf

// notifies reads what is run when instances and groups change.
func (b *builder) notifies(cfg *Config) {
	add := func(key string, r *rawNotify) {
		n := Notify{
			Master: b.command(r.NotifyMaster, &r.NotifyTimeout), Backup: b.command(r.NotifyBackup, &r.NotifyTimeout),
			Fault: b.command(r.NotifyFault, &r.NotifyTimeout), Stop: b.command(r.NotifyStop, &r.NotifyTimeout),
			Any: b.command(r.Notify, &r.NotifyTimeout),
		}
		if n == (Notify{}) {
			if r.NotifyTimeout.set {
				b.warnf(r.NotifyTimeout.at(b.node), "has no effect without a notify command").remedy("add one, or remove it")
			}
			return
		}
		if cfg.Notify == nil {
			cfg.Notify = map[string]Notify{}
		}
		cfg.Notify[key] = n
	}
	for i := range b.raw.Instances {
		r := &b.raw.Instances[i]
		add("INSTANCE/"+r.Name.v, &r.rawNotify)
	}
	for i := range b.raw.SyncGroups {
		r := &b.raw.SyncGroups[i]
		add("GROUP/"+r.Name.v, &r.rawNotify)
	}
}

// command resolves one command, nil if the file has none. around is the
// notify_timeout of the table around it.
func (b *builder) command(r *rawCommand, around *nodeValue[duration]) *Command {
	if r == nil {
		return nil
	}
	c := &Command{
		Args:    r.Script.get(b.node),
		Timeout: chosen(b.node, &r.Timeout, around, &b.raw.Global.NotifyTimeout).std(),
	}
	c.User, c.Group = b.userOf(&r.User)
	return c
}

// userOf returns whom a script runs as: its own user, else script_user.
func (b *builder) userOf(own *nodeValue[string]) (user, group string) {
	if own.set {
		return b.runAs(own)
	}
	if g := &b.raw.Global.ScriptUser; g.given(b.node) {
		return b.runAs(g) // what is wrong with it is told once: problems are unique
	}
	return "", ""
}
