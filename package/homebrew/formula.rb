# Filled by `cargo xtask package` for a release; goes to Formula/cove-cli.rb of the tap.
# The programs without the app, built on the computer they run on: for Macs without a screen.
class CoveCli < Formula
  desc "Dev containers in a lightweight virtual machine, without the app"
  homepage "{{repository}}"
  url "{{repository}}/releases/download/v{{version}}/cove-{{version}}-source.tar.gz"
  sha256 "{{source_sha256}}"
  license any_of: ["MIT", "Apache-2.0"]

  depends_on "rust" => :build
  depends_on arch: :arm64
  depends_on macos: :sonoma

  conflicts_with cask: "cove"

  def install
    %w[cli daemon shim].each do |package|
      system "cargo", "install", *std_cargo_args(path: "crates/#{package}")
    end
    # Only this program may make machines. Homebrew keeps entitlements when it signs again.
    system "codesign", "--force", "--sign", "-", "--options", "runtime",
           "--entitlements", "package/cove-shim.entitlements", bin/"cove-shim"
  end

  service do
    run [opt_bin/"coved", "serve"]
    keep_alive crashed: true
    log_path var/"log/coved.log"
    error_log_path var/"log/coved.log"
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/cove --version")
    entitlements = shell_output("codesign --display --entitlements - --xml #{bin}/cove-shim")
    assert_match "com.apple.security.virtualization", entitlements
  end
end
