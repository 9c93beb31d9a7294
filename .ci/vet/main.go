// Command vet runs the analyzers of go vet on the module's packages and their tests for other systems and build tags:
//
//	go run ./.ci/vet SYSTEM/PROCESSOR[,TAG...] ...
//
// It reads the dependencies' sources, where go vet compiles them first: all of the standard library anew for each
// system, which takes ten times as long.
package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/checker"
	"golang.org/x/tools/go/analysis/suite/vet"
	"golang.org/x/tools/go/packages"
)

// analyzers are those of go vet in Go 1.26: the suite has two more, for the next version.
var analyzers = slices.DeleteFunc(slices.Clone(vet.Suite), func(a *analysis.Analyzer) bool {
	return a.Name == "scannererr" || a.Name == "sqlrowserr"
})

func main() {
	status := 0
	for _, target := range os.Args[1:] {
		problems, err := judge(target)
		if err != nil {
			problems = append(problems, err.Error())
		}
		for _, p := range problems {
			fmt.Fprintf(os.Stderr, "%s: %s\n", target, p)
			status = 1
		}
	}
	os.Exit(status)
}

// judge returns what is wrong with the packages as built for the target.
func judge(target string) (problems []string, err error) {
	system, tags, _ := strings.Cut(target, ",")
	goos, goarch, ok := strings.Cut(system, "/")
	if !ok {
		return nil, fmt.Errorf("%q is not a SYSTEM/PROCESSOR", system)
	}
	pkgs, err := packages.Load(&packages.Config{
		Mode:       packages.LoadAllSyntax,
		Tests:      true,
		BuildFlags: []string{"-tags=" + tags},
		Env:        append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch, "CGO_ENABLED=0"),
	}, "./...")
	if err != nil {
		return nil, err
	}
	add := func(problem string) { // once: a package stands beside the same one with its tests
		if !slices.Contains(problems, problem) {
			problems = append(problems, problem)
		}
	}
	packages.Visit(pkgs, nil, func(pkg *packages.Package) {
		for _, err := range pkg.Errors {
			add(err.Error())
		}
	})
	if len(problems) > 0 { // which the analyzers take for granted not to be there
		return problems, nil
	}
	graph, err := checker.Analyze(analyzers, pkgs, nil)
	if err != nil {
		return nil, err
	}
	for _, action := range graph.Roots {
		if action.Err != nil {
			add(fmt.Sprintf("%s: %v", action, action.Err))
		}
		for _, d := range action.Diagnostics {
			add(fmt.Sprintf("%s: %s", action.Package.Fset.Position(d.Pos), d.Message))
		}
	}
	return problems, nil
}
