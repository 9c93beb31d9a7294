package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/upgrademock/upgrademock/internal/spelling"
)

// servePrefix is what the names of variables begin with that stand for serve's flags.
const servePrefix = "UPGRADEMOCK_SERVE_"

// flagVariable is the variable that stands for one of serve's flags.
func flagVariable(flag string) string {
	return servePrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// places says of each flag that the command line does not set where it was set.
type places map[string]string

// explain adds to an error that begins with a flag the place where that was set.
func (p places) explain(err error) error {
	if err == nil {
		return nil
	}
	flag, _ := strings.CutPrefix(err.Error(), "--")
	flag = flag[:max(0, strings.IndexAny(flag+" ", " :"))]
	if place := p[flag]; place != "" {
		return fmt.Errorf("%s: %w", place, err)
	}
	return err
}

// configure sets those flags of cmd that the command line does not: from the environment, and where that does not say
// either, from the file that the flag config names. Every error is a wrong command line.
func configure(cmd *cobra.Command, environ []string) (places, error) {
	p := make(places)
	if err := p.fromEnvironment(cmd, environ); err != nil {
		return nil, err
	}
	file := cmd.Flags().Lookup("config").Value.String()
	if file == "" {
		return p, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, p.explain(fmt.Errorf("--config %s: %w; wanted a YAML file with flags, such as clock: virtual", file,
			reasonOf(err)))
	}
	return p, p.fromFile(cmd, file, text)
}

// fromEnvironment sets flags from variables. The values of a flag that is repeatable are apart by commas, around which
// blanks mean nothing.
func (p places) fromEnvironment(cmd *cobra.Command, environ []string) error {
	variables := make(map[string]string)
	var known []string
	for _, name := range configurable(cmd) {
		variables[flagVariable(name)] = name
		known = append(known, flagVariable(name))
	}
	for _, entry := range environ {
		variable, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(variable, servePrefix) {
			continue
		}
		flag := cmd.Flags().Lookup(variables[variable])
		if flag == nil {
			return fmt.Errorf("the variable %s: serve has no such flag%s", variable, meant(variable, known))
		}
		if flag.Changed {
			continue
		}
		values := []string{value}
		if _, many := flag.Value.(pflag.SliceValue); many {
			values = slices.DeleteFunc(strings.Split(value, ","), func(one string) bool { return strings.TrimSpace(one) == "" })
			for i, one := range values {
				values[i] = strings.TrimSpace(one)
			}
		}
		p[flag.Name] = "the variable " + variable
		if err := setFlag(cmd, flag, values); err != nil {
			return p.explain(err)
		}
	}
	return nil
}

// fromFile sets flags from the text of a YAML file: a mapping of their names to values, or lists of values.
func (p places) fromFile(cmd *cobra.Command, file string, text []byte) error {
	parsed, err := parser.ParseBytes(bytes.TrimPrefix(text, []byte("\ufeff")), 0)
	if err != nil {
		return fmt.Errorf("--config %s: %w", file, err)
	}
	seen := make(map[string]bool)
	for _, doc := range parsed.Docs {
		var entries []*ast.MappingValueNode
		switch body := doc.Body.(type) {
		case nil:
		case *ast.MappingNode:
			entries = body.Values
		case *ast.MappingValueNode:
			entries = []*ast.MappingValueNode{body}
		default:
			return fmt.Errorf("--config %s: wanted flags with their values, such as clock: virtual", file)
		}
		for _, entry := range entries {
			key := entry.Key.GetToken()
			place := fmt.Sprintf("--config %s:%d:%d", file, key.Position.Line, key.Position.Column)
			err := p.fromEntry(cmd, entry, place)
			if seen[key.Value] {
				err = fmt.Errorf("%s is there twice", key.Value)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", place, err)
			}
			seen[key.Value] = true
		}
	}
	return nil
}

// fromEntry sets the flag that an entry of the file names, unless it is set already.
func (p places) fromEntry(cmd *cobra.Command, entry *ast.MappingValueNode, place string) error {
	name := entry.Key.GetToken().Value
	known := slices.DeleteFunc(configurable(cmd), func(name string) bool { return name == "config" })
	if !slices.Contains(known, name) {
		return fmt.Errorf("serve has no flag %q%s", name, meant(name, known))
	}
	flag := cmd.Flags().Lookup(name)
	if flag.Changed {
		return nil
	}
	var values []string
	if list, ok := entry.Value.(*ast.SequenceNode); ok {
		if _, many := flag.Value.(pflag.SliceValue); !many {
			return fmt.Errorf("%s: wanted one value, not a list", name)
		}
		for _, item := range list.Values {
			value, err := scalar(item)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			values = append(values, value)
		}
	} else {
		value, err := scalar(entry.Value)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		values = []string{value}
	}
	p[name] = place
	return setFlag(cmd, flag, values)
}

// scalar is the text of a value, as it stands in the file: 2 and 0.50 are not made into numbers and back.
func scalar(node ast.Node) (string, error) {
	switch value := node.(type) {
	case *ast.NullNode:
		return "", nil
	case *ast.LiteralNode:
		return value.Value.Value, nil
	case *ast.StringNode:
		return value.Value, nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return node.GetToken().Value, nil
	}
	return "", errors.New("wanted a value, or a list of values")
}

func setFlag(cmd *cobra.Command, flag *pflag.Flag, values []string) error {
	for _, value := range values {
		if err := cmd.Flags().Set(flag.Name, value); err != nil {
			return flagError(cmd, err)
		}
	}
	return nil
}

// configurable are the names of the flags that say what a command does.
func configurable(cmd *cobra.Command) []string {
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Name != "help" {
			names = append(names, f.Name)
		}
	})
	return names
}

// meant is the end of a sentence about a word that is unknown.
func meant(word string, known []string) string {
	if nearest := spelling.Nearest(word, known...); nearest != "" {
		return fmt.Sprintf("; did you mean %s?", nearest)
	}
	return "; 'upgrademock serve --help' lists them"
}
