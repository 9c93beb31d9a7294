package platform

import (
	"cmp"
	"fmt"

	"github.com/upgrademock/upgrademock/mockserver/internal/machine"
)

// logLine is a line of the log; {target} and {db} in its message stand for the version and the database.
type logLine struct {
	level, logger, message string

	early bool // no database is open yet
}

const loading = "odoo.modules.loading"

func info(logger, format string, args ...any) logLine {
	return logLine{level: "INFO", logger: logger, message: fmt.Sprintf(format, args...)}
}

// started is what a server says before anything else.
var started = []logLine{
	{level: "INFO", logger: "odoo", message: "Odoo version {target}", early: true},
	{level: "INFO", logger: "odoo", message: "addons paths: ['/home/odoo/src/odoo/{target}/addons']", early: true},
	{level: "INFO", logger: "odoo", message: "database: odoo@default:default", early: true},
}

// upgradedModules are the modules of which the log speaks, in the order in which they are loaded.
var upgradedModules = []string{
	"base", "web", "base_setup", "bus", "mail", "contacts", "product", "account", "sale", "purchase", "stock", "website",
}

// lines are those of one state.
func (w *logWriter) lines(first bool, s reached) []logLine {
	var lines []logLine
	if first {
		lines = append(lines, started...)
	}
	switch s.State {
	case StatePending:
		return lines
	case StateDone:
		return append(lines, info(loading, "Modules loaded."), info("odoo.modules.registry", "Registry loaded in 38.412s"),
			info("odoo.service.server", "Initiating shutdown"))
	case StateFailed:
		return append(lines, w.failure(s))
	case StateCancelled:
		return append(lines, logLine{level: "WARNING", logger: "odoo.service.server", message: "The upgrade was cancelled"},
			info("odoo.service.server", "Initiating shutdown"))
	}
	part, of := w.share(s)
	return append(lines, modules(part, of)...)
}

// share is which part of the modules is loaded in a state, if several steps of the script share them.
func (w *logWriter) share(s reached) (part, of int) {
	for i, step := range w.script.Steps {
		if step.State == StatePending || ended(step.State) {
			continue
		}
		if i < s.Step {
			part++
		}
		of++
	}
	if s.Step == outside || of == 0 {
		return 0, 1
	}
	return part, of
}

// modules are the lines for one of several parts of the modules.
func modules(part, of int) []logLine {
	var lines []logLine
	all := len(upgradedModules)
	for i := part * all / of; i < (part+1)*all/of; i++ {
		name := upgradedModules[i]
		if i == 0 {
			lines = append(lines, info(loading, "loading 1 modules..."))
		}
		if i == 1 {
			lines = append(lines, info(loading, "updating modules list"), info(loading, "loading %d modules...", all))
		}
		queries := 212 + 97*(i*i%7)
		lines = append(lines,
			info(loading, "Loading module %s (%d/%d)", name, i+1, all),
			info("odoo.modules.migration", "module %s: Running migration [>{target}.1.0] pre-migrate", name),
			info("odoo.modules.registry", "module %s: creating or updating database tables", name),
			info("odoo.modules.migration", "module %s: Running migration [{target}.1.0>] post-migrate", name),
			info(loading, "Module %s loaded in %d.%02ds, %d queries (+%d other)", name, 1+i%4, 7*i%100, queries, queries))
	}
	if part == of-1 {
		lines = append(lines, info(loading, "%d modules loaded in 31.07s, 5210 queries (+5210 extra)", all))
	}
	return lines
}

// failure is the line with a traceback on which a server ends.
func (w *logWriter) failure(s reached) logLine {
	reason := s.Reason
	if s.Step >= 0 {
		reason, _ = machine.Set(w.script, machine.Position{Step: s.Step})["reason"].(string)
	}
	return logLine{
		level: "CRITICAL", logger: "odoo.service.server",
		message: "Failed to initialize database `{db}`.\n" +
			"Traceback (most recent call last):\n" +
			"  File \"/home/odoo/src/odoo/{target}/odoo/service/server.py\", line 1, in preload_registries\n" +
			"    registry = Registry.new(dbname, update_module=update_module)\n" +
			"  File \"/home/odoo/src/odoo/{target}/odoo/modules/registry.py\", line 1, in new\n" +
			"    odoo.modules.load_modules(registry, force_demo, status, update_module)\n" +
			"odoo.upgrade.UpgradeError: " + cmp.Or(reason, "the upgrade failed"),
	}
}
