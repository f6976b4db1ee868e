import { playwright } from "@vitest/browser-playwright";
import { defineConfig } from "vitest/config";
import { cedarGlue, workerSource } from "./build/plugins.ts";

const chromium = playwright({
  launchOptions: {
    executablePath: process.env.VAK_CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  },
});
const firefox = playwright({
  launchOptions: { channel: "moz-firefox", executablePath: process.env.VAK_FIREFOX ?? "/usr/bin/firefox-esr" },
});

export default defineConfig({
  plugins: [workerSource(), cedarGlue()],
  test: {
    projects: [
      { extends: true, test: { name: "unit", include: ["test/unit/**/*.test.ts"], environment: "node" } },
      {
        extends: true,
        test: {
          name: "browser",
          include: ["test/browser/**/*.test.ts"],
          browser: {
            enabled: true,
            headless: true,
            screenshotFailures: false,
            instances: [
              { browser: "chromium", provider: chromium },
              { browser: "firefox", provider: firefox },
            ],
          },
        },
      },
    ],
  },
});
