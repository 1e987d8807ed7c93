package mutation

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// A Package is parsed and type-checked source.
type Package struct {
	Path    string
	Mutants []Mutant // in order of file and place; about one in ten does not compile
}

// A listed is what the go command says of a package.
type listed struct {
	ImportPath, Dir, Export string
	GoFiles                 []string
	Standard                bool
}

// Load makes the mutants of the packages that the patterns name, as the go
// command at root understands them.
func Load(ctx context.Context, root string, patterns ...string) ([]Package, error) {
	named, err := list(ctx, root, append([]string{"-json=ImportPath,Dir,GoFiles"}, patterns...)...)
	if err != nil {
		return nil, err
	}
	// Export data is what the compiler has left of the imported packages, so one
	// mutant is checked in milliseconds and without the go command.
	all, err := list(ctx, root, append([]string{"-export", "-deps", "-json=ImportPath,Export"}, patterns...)...)
	if err != nil {
		return nil, err
	}
	exports := map[string]string{}
	for _, p := range all {
		exports[p.ImportPath] = p.Export
	}
	fset := token.NewFileSet()
	imports := importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) {
		if exports[path] == "" {
			return nil, fmt.Errorf("no export data of %s", path)
		}
		return os.Open(exports[path])
	})
	var packages []Package
	for _, p := range named {
		made, err := load(fset, imports, root, p)
		if err != nil {
			return nil, fmt.Errorf("make mutants of %s: %w", p.ImportPath, err)
		}
		packages = append(packages, made)
	}
	return packages, nil
}

func list(ctx context.Context, root string, args ...string) ([]listed, error) {
	cmd := exec.CommandContext(ctx, "go", append([]string{"list"}, args...)...)
	cmd.Dir = root
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("go list: %w: %s", err, oneLine(errs.String()))
	}
	var all []listed
	for dec := json.NewDecoder(&out); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("read go list: %w", err)
		}
		all = append(all, p)
	}
}

// A source is one file of a package.
type source struct {
	path, file string // absolute, and from the module's root
	text       []byte
	tree       *ast.File
}

func load(fset *token.FileSet, imports types.Importer, root string, p listed) (Package, error) {
	made := Package{Path: p.ImportPath}
	var sources []source
	for _, name := range p.GoFiles {
		s := source{path: filepath.Join(p.Dir, name)}
		var err error
		if s.text, err = os.ReadFile(s.path); err != nil {
			return made, err
		}
		if s.tree, err = parser.ParseFile(fset, s.path, s.text, parser.ParseComments|parser.SkipObjectResolution); err != nil {
			return made, err
		}
		if s.file, err = filepath.Rel(root, s.path); err != nil {
			return made, err
		}
		s.file = filepath.ToSlash(s.file)
		sources = append(sources, s)
	}
	check := func(changed int, tree *ast.File, info *types.Info) (*types.Package, error) {
		var trees []*ast.File
		for i, s := range sources {
			if i == changed {
				trees = append(trees, tree)
			} else {
				trees = append(trees, s.tree)
			}
		}
		return (&types.Config{Importer: imports}).Check(p.ImportPath, fset, trees, info)
	}
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}, Types: map[ast.Expr]types.TypeAndValue{}}
	pkg, err := check(-1, nil, info)
	if err != nil {
		return made, err
	}
	for i, s := range sources {
		if generated(s.text) {
			continue
		}
		compiles := func(m Mutant) bool {
			// The changed file gets a file set of its own: thousands would fill the shared one.
			tree, err := parser.ParseFile(token.NewFileSet(), s.path, m.apply(s.text), parser.SkipObjectResolution)
			if err == nil {
				_, err = check(i, tree, nil)
			}
			return err == nil
		}
		for _, m := range operate(fset, s, pkg, info) {
			m.Package, m.File, m.path, m.check = p.ImportPath, s.file, s.path, compiles
			m.describe(s.text)
			if m.Before != m.After {
				made.Mutants = append(made.Mutants, m)
			}
		}
	}
	slices.SortStableFunc(made.Mutants, func(a, b Mutant) int {
		if a.File != b.File {
			return strings.Compare(a.File, b.File)
		}
		return a.from - b.from
	})
	return made, nil
}

// generated says whether a file was written by a program.
func generated(text []byte) bool {
	first, _, _ := bytes.Cut(text, []byte("\n"))
	return bytes.HasPrefix(first, []byte("// Code generated "))
}
