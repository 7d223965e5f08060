# Filled by `cargo xtask package` for a release; goes to Casks/cove.rb of the tap.
cask "cove" do
  version "{{version}}"
  sha256 "{{dmg_sha256}}"

  url "{{repository}}/releases/download/v#{version}/Cove-#{version}-arm64.dmg"
  name "Cove"
  desc "Dev containers in a lightweight virtual machine"
  homepage "{{repository}}"

  livecheck do
    url :url
    strategy :github_latest
  end

  depends_on arch: :arm64
  depends_on macos: ">= :sonoma"

  app "Cove.app"
  binary "#{appdir}/Cove.app/Contents/MacOS/cove"

  uninstall launchctl: "{{agent}}",
            quit:      "{{identifier}}"

  zap trash: [
    "~/.cache/cove",
    "~/.cove",
    "~/Library/Preferences/{{identifier}}.plist",
    "~/Library/WebKit/{{identifier}}",
  ]

  caveats <<~EOS
    Scripts that call `devcontainer` get Cove's with:
      ln -s #{HOMEBREW_PREFIX}/bin/cove ~/.local/bin/devcontainer
    `brew uninstall --zap` deletes the machine's disk, and with it every volume.
  EOS
end
