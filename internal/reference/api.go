package reference

import (
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// API describes the operations of an OpenAPI document that have the tag, and the schemas that they name.
func API(document []byte, tag string) (string, error) {
	root, err := parse(document)
	if err != nil {
		return "", err
	}
	a := api{root: root}
	for _, t := range root.nodes("tags") {
		if t.text("name") == tag {
			a.b.WriteString(prose(t.text("description")) + "\n")
		}
	}
	for _, path := range root.node("paths") {
		for _, op := range schema(path.Value.(yaml.MapSlice)) {
			operation, ok := op.Value.(yaml.MapSlice)
			if ok && slices.Contains(schema(operation).list("tags"), any(tag)) {
				a.operation(strings.ToUpper(fmt.Sprint(op.Key))+" "+fmt.Sprint(path.Key), schema(operation))
			}
		}
	}
	if len(a.named) > 0 {
		a.b.WriteString("\n# What they answer and take\n")
	}
	for i := 0; i < len(a.named); i++ { // which grows
		of := a.root.node("components", "schemas", a.named[i])
		a.b.WriteString("\n## " + a.named[i] + "\n\n" + prose(of.text("description")) + "\n")
		a.fields(of)
	}
	return a.b.String(), nil
}

type api struct {
	root  schema
	b     strings.Builder
	named []string // the schemas that were met
}

func (a *api) operation(call string, op schema) {
	a.b.WriteString("\n## " + call + "\n\n" + prose(op.text("summary")) + ".\n")
	if parameters := op.nodes("parameters"); len(parameters) > 0 {
		a.b.WriteString("\n| parameter | values | |\n|---|---|---|\n")
		for _, p := range parameters {
			p = a.resolve(p)
			row(&a.b, code(p.text("name")), a.kind(p.node("schema")), prose(p.text("description")))
		}
	}
	if body := a.resolve(op.node("requestBody")); len(body) > 0 {
		a.content("The body", body)
	}
	var problems []string
	for _, answer := range op.node("responses") {
		if strings.HasSuffix(schema(answer.Value.(yaml.MapSlice)).text("$ref"), "/Problem") {
			problems = append(problems, fmt.Sprint(answer.Key))
			continue
		}
		of := a.resolve(schema(answer.Value.(yaml.MapSlice)))
		if text := strings.TrimSuffix(of.text("description"), "."); fmt.Sprint(answer.Key) == "200" {
			a.content("The answer: "+prose(text), of)
		} else {
			a.b.WriteString("\nHTTP status " + fmt.Sprint(answer.Key) + ": " + prose(text) + ".\n")
		}
	}
	if len(problems) > 0 {
		a.b.WriteString("\nOr " + code("error") + ", which says what is wrong, with HTTP status " +
			strings.Join(problems, ", ") + ".\n")
	}
}

// content describes a body in its first form.
func (a *api) content(what string, of schema) {
	forms := of.node("content")
	if len(forms) == 0 {
		a.b.WriteString("\n" + what + ".\n")
		return
	}
	form := fmt.Sprint(forms[0].Key)
	body := forms.node(form, "schema")
	a.b.WriteString("\n" + what + " (" + code(form) + ")")
	if kind := a.kind(body); kind != "" && strings.Contains(kind, "](#") {
		a.b.WriteString(": " + kind)
	}
	a.b.WriteString(".\n")
	if text := body.text("description"); text != "" {
		a.b.WriteString(prose(text) + "\n")
	}
	a.fields(body)
}

// fields writes a table of the keys of an object, and of those below them.
func (a *api) fields(of schema) {
	var rows strings.Builder
	a.below(&rows, "", of)
	if rows.Len() > 0 {
		a.b.WriteString("\n| key | values | |\n|---|---|---|\n" + rows.String())
	}
}

func (a *api) below(b *strings.Builder, prefix string, of schema) {
	for _, part := range of.nodes("allOf") {
		a.below(b, prefix, part)
	}
	if items := of.node("items"); items != nil {
		a.below(b, prefix, items)
	}
	for _, item := range of.node("properties") {
		field := schema(item.Value.(yaml.MapSlice))
		name := prefix + fmt.Sprint(item.Key)
		row(b, code(name), a.kind(field), prose(field.text("description")))
		a.below(b, name+".", field)
	}
}

// kind says which values a schema takes, and notes the schemas that it names.
func (a *api) kind(of schema) string {
	for _, ref := range references(of) {
		name := ref[strings.LastIndex(ref, "/")+1:]
		if strings.HasPrefix(ref, "#/components/schemas/") && !slices.Contains(a.named, name) {
			a.named = append(a.named, name)
		}
	}
	return of.kind()
}

// references are what a schema names where kind says it.
func references(of schema) []string {
	if ref := of.text("$ref"); ref != "" {
		return []string{ref}
	}
	var refs []string
	for _, key := range []string{"anyOf", "oneOf", "allOf"} {
		for _, part := range of.nodes(key) {
			refs = append(refs, references(part)...)
		}
	}
	if items := of.node("items"); items != nil {
		refs = append(refs, references(items)...)
	}
	return refs
}

// resolve follows a reference.
func (a *api) resolve(s schema) schema {
	ref, ok := strings.CutPrefix(s.text("$ref"), "#/")
	if !ok {
		return s
	}
	return a.root.node(strings.Split(ref, "/")...)
}
