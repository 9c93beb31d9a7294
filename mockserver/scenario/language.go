package scenario

import (
	"net/http"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// This file is the grammar: each object of the language, with its keys and what reads them.

func (d *decoder) scenario(v value, s *Scenario) {
	d.object(v, "a script: an object with `steps`, `faults` and so on", fields{
		"name":        d.text(&s.Name),
		"description": d.text(&s.Description),
		"when":        d.when(&s.When),
		"steps":       d.steps(&s.Steps),
		"faults":      d.faults(&s.Faults),
		"upgraded":    d.upgraded(&s.Upgraded),
		"run":         func(v value) { d.run(v, &s.Run) },
		"expect": func(v value) {
			s.Expect = &Expect{}
			d.expect(v, s.Expect)
		},
	})
}

func (d *decoder) when(into *When) func(value) {
	return func(v value) {
		when := When{}
		d.entries(v, "an object of globs, such as `{aim: production}`", func(key string, _ *token.Position, item value) {
			var glob string
			d.anyText(&glob)(item)
			when[key] = glob
		})
		if len(when) > 0 {
			*into = when
		}
	}
}

func (d *decoder) steps(into *[]Step) func(value) {
	return func(v value) {
		steps := []Step{}
		d.list(v, "a list of steps", func(_ int, item value) {
			var step Step
			d.object(item, "a step, such as `{state: pending, for: 1 poll}`", fields{
				"state": d.text(&step.State),
				"for":   parsed(d, &step.For, parseFor),
				"set":   d.set(&step.Set),
				"log":   d.log(&step.Log),
			})
			steps = append(steps, step)
		})
		*into = steps
	}
}

func (d *decoder) set(into *map[string]any) func(value) {
	return func(v value) {
		set := map[string]any{}
		d.entries(v, "an object of status keys, such as "+
			"`{filestore: true}`", func(key string, _ *token.Position, item value) {
			set[key] = texts(d.any(item))
		})
		if len(set) > 0 {
			*into = set
		}
	}
}

// texts turns a list of texts into a []string, the only list a status answer has.
func texts(v any) any {
	list, ok := v.([]any)
	if !ok || !is(kindList, v) {
		return v
	}
	texts := make([]string, len(list))
	for i, item := range list {
		texts[i] = item.(string)
	}
	return texts
}

func (d *decoder) faults(into *[]Fault) func(value) {
	return func(v value) {
		d.list(v, "a list of faults", func(_ int, item value) {
			var f Fault
			d.object(item, "a fault, such as `{on: status, times: 2, reset: true}`", fields{
				"on":    d.place(&f),
				"at":    d.place(&f),
				"skip":  d.count(&f.Skip, 0, "it is how many calls pass first"),
				"times": d.count(&f.Times, 1, "the fault would never trigger; without `times` it always does"),
				"every": d.count(&f.Every, 1, "2 is every second call"),
				"after": d.after(&f),
				"file":  d.fileGlob(&f),
				"delay": parsed(d, &f.Delay, parseDuration),
				"rate":  parsed(d, &f.Rate, parseRate),
				actFailure: func(v value) {
					f.Failure = &Failure{}
					d.failure(v, f.Failure)
				},
				actHTTP: func(v value) {
					f.HTTP = &HTTP{}
					d.http(v, f.HTTP)
				},
				actReset:      d.truth(&f.Reset),
				actCut:        d.truth(&f.Cut),
				actTruncate:   d.truth(&f.Truncate),
				actGarbage:    d.truth(&f.Garbage),
				actRefuse:     d.truth(&f.Refuse),
				actDisconnect: d.truth(&f.Disconnect),
				actError:      d.text(&f.Error),
				actRevoke:     d.truth(&f.Revoke),
				actHostKey:    d.text(&f.HostKey),
				actKnownHosts: func(v value) {
					f.KnownHosts = new(string)
					d.unlessNull(v, d.text(f.KnownHosts))
				},
				actUnreachable: d.truth(&f.Unreachable),
			})
			*into = append(*into, f)
		})
	}
}

// place reads `on`, or `at`, which is the same: some readers of YAML take a plain `on` for true.
func (d *decoder) place(f *Fault) func(value) {
	return func(v value) {
		if f.On != "" {
			d.wrong(v, wrong("the fault has its place already: `at` is the same as `on`"))
			return
		}
		d.text(&f.On)(v)
	}
}

func (d *decoder) failure(v value, f *Failure) {
	d.entries(v, "a failure, such as `{reason: \"SERVER:ERROR\", message: "+
		"try again}`", func(key string, _ *token.Position, item value) {
		switch key {
		case "reason":
			d.text(&f.Reason)(item)
		case "message":
			d.anyText(&f.Message)(item)
		case "form":
			d.text(&f.Form)(item)
		default:
			if f.More == nil {
				f.More = map[string]any{}
			}
			f.More[key] = d.any(item)
		}
	})
}

func (d *decoder) http(v value, h *HTTP) {
	d.object(v, "an answer, such as `{status: 502, body: \"<html>\"}`", fields{
		"status": d.count(&h.Status, http.StatusOK, "it is the status of a final answer"),
		"headers": func(v value) {
			d.entries(v, "an object of headers, such as `{Retry-After: 1}`", func(key string, _ *token.Position, item value) {
				if h.Headers == nil {
					h.Headers = map[string]string{}
				}
				var text string
				parsed(d, &text, func(text string) (string, error) { return text, nil })(item)
				h.Headers[key] = text
			})
		},
		"content_type": d.text(&h.ContentType),
		"body":         d.anyText(&h.Body),
	})
}

func (d *decoder) upgraded(into *Upgraded) func(value) {
	return func(v value) {
		if _, ok := v.node.(ast.MapNode); ok {
			d.upgradedObject(v, into)
			return
		}
		var word string
		d.text(&word)(v)
		switch word {
		case "", "same":
		case "built":
			into.Built = true
		default:
			err := unknown("upgraded dump", word, []string{"same", "built"}).(problem)
			if err.nearest == "" {
				err.nearest = "{archive: " + word + "}"
			}
			d.wrong(v, err)
		}
	}
}

func (d *decoder) upgradedObject(v value, u *Upgraded) {
	d.object(v, "", fields{
		"built": func(v value) {
			u.Built = true
			parsed(d, &u.Size, parseSize)(v)
		},
		"archive":   d.fileOrMissing(&u.Archive, &u.Missing.Archive),
		"sql":       d.text(&u.SQL),
		"notes":     d.text(&u.Notes),
		"modules":   d.text(&u.Modules),
		"filestore": d.fileOrMissing(&u.Filestore, &u.Missing.Filestore),
		"report":    d.fileOrMissing(&u.Report, &u.Missing.Report),
		"log":       d.fileOrMissing(&u.Log, &u.Missing.Log),
		"dump_name": func(v value) {
			u.DumpName = new(string)
			d.unlessNull(v, d.text(u.DumpName))
		},
	})
	if *u == (Upgraded{}) {
		d.wrong(v, problem{message: "an object names at least one file", expected: []string{"same", "built"}})
	}
}

// unlessNull reads v unless it is null.
func (d *decoder) unlessNull(v value, read func(value)) {
	if v.node.Type() != ast.NullType {
		read(v)
	}
}

// fileOrMissing reads the path of a file, or null for one that is not there.
func (d *decoder) fileOrMissing(file *string, missing *bool) func(value) {
	return func(v value) {
		*missing = true
		d.unlessNull(v, func(v value) {
			*missing = false
			d.text(file)(v)
		})
	}
}

// log reads a text, or the file that holds it.
func (d *decoder) log(into **Log) func(value) {
	return func(v value) {
		*into = &Log{}
		if _, ok := v.node.(ast.MapNode); !ok {
			d.anyText(&(*into).Text)(v)
			return
		}
		d.onlyFile(v, "a log in an object is a file", d.text(&(*into).File))
	}
}

// after reads a number of bytes, or `{file: GLOB}`, which is the same as the key `file`.
func (d *decoder) after(f *Fault) func(value) {
	return func(v value) {
		if _, ok := v.node.(ast.MapNode); !ok {
			parsed(d, &f.After, parseSize)(v)
			return
		}
		d.onlyFile(v, "an object names a file here", d.fileGlob(f))
	}
}

// onlyFile reads an object whose one key is `file`; missing is what is wrong with an empty one.
func (d *decoder) onlyFile(v value, missing string, read func(value)) {
	empty := true
	d.entries(v, "", func(key string, at *token.Position, item value) {
		empty = false
		if key != "file" {
			d.wrongAt(at, item.path, unknown("key", key, []string{"file"}))
			return
		}
		read(item)
	})
	if empty {
		d.wrong(v, problem{message: missing, expected: []string{"file"}})
	}
}

// fileGlob reads the glob of a fault, which has one place but two ways to write it.
func (d *decoder) fileGlob(f *Fault) func(value) {
	return func(v value) {
		if f.File != "" {
			d.wrong(v, wrong("the fault names a file already: `after: {file: GLOB}` is the same as `file: GLOB`"))
		}
		d.text(&f.File)(v)
	}
}

func (d *decoder) expect(v value, e *Expect) {
	d.object(v, "an expectation, such as `{exit: success}`", fields{
		"exit": d.text(&e.Exit),
		"calls": func(v value) {
			e.Calls = bounds(d, v, "an object of numbers, such as `{create: 1, status: \">=3\"}`", parseBound)
		},
		"order": func(v value) {
			e.Order = []string{}
			d.list(v, "a list of events", func(_ int, item value) {
				var event string
				d.text(&event)(item)
				e.Order = append(e.Order, event)
			})
		},
		"interval": func(v value) {
			e.Interval = bounds(d, v, "an object of times, such as `{status: \">=1s\"}`", parseInterval)
		},
		"retry_after": d.text(&e.RetryAfter),
		"gives_up":    d.text(&e.GivesUp),
		"resumed":     d.truth(&e.Resumed),
		"params":      d.text(&e.Params),
		"dump":        d.text(&e.Dump),
		"requests":    d.text(&e.Requests),
		"within":      parsed(d, &e.Within, parseDuration),
		"out":         d.text(&e.Out),
		"filestore":   d.text(&e.Filestore),
		"shows":       d.texts(&e.Shows),
		"hides":       d.text(&e.Hides),
	})
}

// texts reads one text, or a list of them.
func (d *decoder) texts(into *Texts) func(value) {
	return func(v value) {
		one := func(_ int, item value) {
			var text Text
			parsed(d, &text, parseText)(item)
			*into = append(*into, text)
		}
		if _, list := v.node.(*ast.SequenceNode); !list {
			one(0, v)
			return
		}
		*into = Texts{}
		d.list(v, "a list of texts", one)
	}
}

// bounds reads event → comparison.
func bounds[T any](d *decoder, v value, what string, parse func(string) (T, error)) map[string]T {
	bounds := map[string]T{}
	d.entries(v, what, func(key string, _ *token.Position, item value) {
		var bound T
		parsed(d, &bound, parse)(item)
		bounds[key] = bound
	})
	if len(bounds) == 0 {
		return nil
	}
	return bounds
}
