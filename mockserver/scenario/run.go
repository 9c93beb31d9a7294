package scenario

// The values of Run.Stdin.
const (
	StdinClosed = "closed"
	StdinSilent = "silent"
)

// Run is how a client is run to be judged. The emulator does not look at it.
type Run struct {
	// Stdin is closed, for a client without standard input, or silent, for one on whose standard input nothing ever
	// comes, such as a terminal at which nobody sits. Empty, standard input ends at once.
	Stdin string `json:"stdin,omitempty"`
	// Interrupted is where a first run is ended from outside, so that the one which is judged finds what it left; nil:
	// there is no run before.
	Interrupted *Interruption `json:"interrupted,omitempty"`
	// Database says that the client upgrades a database, dumps and restores included, and not a dump. It needs a
	// PostgreSQL server.
	Database bool `json:"database,omitempty"`
}

// Interruption is the event at which a run is ended: the first of those that are called On, after Skip of them.
type Interruption struct {
	On   string `json:"on"`
	Skip int    `json:"skip,omitempty"`
}

func (d *decoder) run(v value, r *Run) {
	ok := d.object(v, "how the client is run, such as `{stdin: closed}`", fields{
		"stdin": d.text(&r.Stdin),
		"interrupted": func(v value) {
			r.Interrupted = &Interruption{}
			d.object(v, "an event, such as `{on: script.logs, skip: 1}`", fields{
				"on":   d.text(&r.Interrupted.On),
				"skip": d.count(&r.Interrupted.Skip, 0, "it is how many of them pass first"),
			})
		},
		"database": d.truth(&r.Database),
	})
	if ok && *r == (Run{}) {
		d.wrong(v, wrong("an object says `stdin`, `interrupted`, or `database`"))
	}
}

func (c *checker) run(r Run) {
	c.word("run.stdin", r.Stdin, StdinClosed, StdinSilent)
	if r.Database && c.api != APIScript {
		c.at("run.database", wrong("only the upgrade script takes databases: `database` is for `when: {api: %s}`", APIScript))
	}
	switch in := r.Interrupted; {
	case in == nil:
	case in.On == "":
		c.at("run.interrupted.on", wrong("an interruption wants `on`: the event at which it comes"))
	default:
		c.event("run.interrupted.on", in.On)
		if in.Skip < 0 {
			c.at("run.interrupted.skip", wrong("not negative, found %d", in.Skip))
		}
	}
}

func runSchema() node {
	return object("How a client is run to be judged; without: once, with empty standard input.", keys{
		"stdin": words("Standard input that is not open, or on which nothing ever comes.", StdinClosed, StdinSilent),
		"interrupted": object("The event at which a first run is ended, before the one that is judged.", keys{
			"on":   words("Its name.", eventNames("")...),
			"skip": number("How many of them pass first.", 0),
		}, "on"),
		"database": truth("The client upgrades a database of a real PostgreSQL, if there is one, and not a dump."),
	})
}
