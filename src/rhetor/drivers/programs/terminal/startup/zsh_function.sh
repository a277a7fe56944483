# Makes a zsh that is started from this shell mark its commands. Zsh looks in ZDOTDIR for its files.
zsh() {
  case "$*" in
  '' | -i | -l)
    if [ -t 0 ] && [ -r @FOLDER@/.zshrc ]; then
      RHETOR_ZDOTDIR=${ZDOTDIR-} RHETOR_ZSH_FOLDER=@FOLDER@ ZDOTDIR=@FOLDER@ command zsh "$@"
      return
    fi ;;
  esac
  command zsh "$@"
}
