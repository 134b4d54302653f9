// govc, the vSphere command line of govmomi, with the commands that the tests use.
//
// The module path github.com/vmware/govmomi/govc is not to be had at v0.54.0, but every command
// lives in the main module, so that this program is the same code.
package main

import (
	"os"

	"github.com/vmware/govmomi/cli"

	_ "github.com/vmware/govmomi/cli/about"
	_ "github.com/vmware/govmomi/cli/events"
	_ "github.com/vmware/govmomi/cli/object"
	_ "github.com/vmware/govmomi/cli/session"
	_ "github.com/vmware/govmomi/cli/vm"
)

func main() {
	os.Exit(cli.Run(os.Args[1:]))
}
